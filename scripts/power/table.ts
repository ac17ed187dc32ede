/** Puts the results of the sweep into docs/power-cuts.md, between its two markers. */
import { writeTable } from "./document.ts";
import { type Phase, phases } from "./phases.ts";
import { type Result, readAllResults } from "./results.ts";
import { nameOf } from "./scenario.ts";

/** The table, and what it was made from (pure). Every state counts once, and those of mutants do not. */
export function formatTable(all: readonly Result[]): string {
  const sound = all.filter(({ scenario }) => scenario.mutant === null);
  const results = [
    ...new Map(sound.map((result) => [`${nameOf(result.scenario)} ${result.seed} ${result.id}`, result])).values(),
  ];
  const rows = [...Map.groupBy(results, ({ scenario }) => nameOf(scenario))].map(([, of]) => row(of));
  const total = (outcome: Result["outcome"]) => results.filter((result) => result.outcome === outcome).length;
  const dates = results.map(({ date }) => date.slice(0, 10)).toSorted();
  const [seeds, commits] = [
    unique(results.map(({ seed }) => String(seed))),
    unique(results.map((result) => result.commit)),
  ];
  return [
    `| firmware | lifeboat | sector | ${phases.join(" | ")} | states | dead | a minute |`,
    `|---|---|---|${phases.map(() => "---").join("|")}|---|---|---|`,
    ...rows,
    "",
    "In each phase of the run: how many states came up in the old system / in the new one, and in bold how many in neither; and how many are judged in a minute on two cores.",
    "",
    `${results.length} states, all different: ${total("old")} came up in the old system, ${total("new")} in the new one, ${total("dead")} were dead.`,
    ...withoutSwap(results),
    `${results.filter(({ start }) => start === "reset").length} of them were started from reset, the others from a snapshot.`,
    `Seeds ${seeds.join(", ")}; commits ${commits.join(", ")}; ${dates[0] ?? "never"} to ${dates.at(-1) ?? "never"}.`,
  ].join("\n");
}

/** What `arm` takes last of a swap partition comes back by `disarm` alone, where the power goes just before the switch. */
function withoutSwap(results: readonly Result[]): string[] {
  const count = results.filter(
    ({ scenario, outcome, hasSwap }) => scenario.place === "swap" && outcome === "old" && hasSwap === false,
  ).length;
  return count === 0
    ? []
    : [`${count} of the old systems came up without their swap space, which \`reimage disarm\` brings back.`];
}

function row(results: readonly Result[]): string {
  const [first] = results;
  if (first === undefined) return "";
  const { system, firmware, place, sectorSizeBytes } = first.scenario;
  const count = (phase: Phase, outcome: Result["outcome"]) =>
    results.filter((result) => result.phase === phase && result.outcome === outcome).length;
  const cells = phases.map((phase) => {
    const dead = count(phase, "dead");
    return `${count(phase, "old")} / ${count(phase, "new")}${dead > 0 ? ` / **${dead} dead**` : ""}`;
  });
  const dead = results.filter(({ outcome }) => outcome === "dead").length;
  const machine = system === "debian" ? `${firmware}, Debian with GRUB` : firmware;
  return `| ${[machine, place, sectorSizeBytes, ...cells, results.length, dead, statesPerMinute(results)].join(" | ")} |`;
}

/** With a machine on each of two cores. */
function statesPerMinute(results: readonly Result[]): string {
  const seconds = results.reduce((sum, result) => sum + result.seconds, 0);
  return ((2 * 60 * results.length) / seconds).toFixed(1);
}

const unique = (words: readonly string[]): string[] => [...new Set(words)].toSorted();

if (import.meta.main) writeTable("sweep", formatTable(readAllResults()));
