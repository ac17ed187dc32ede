/** docs/benchmarks.md: the part between the markers is written from build/bench.json (pure). */
import type { Results } from "./results.ts";
import { asMarkdown, ratioRows, runRows } from "./table.ts";

const begin = "<!-- figures: written by `make bench`, do not edit -->";
const end = "<!-- end of the figures -->";

/**
 * Puts the figures between the markers of a document.
 * @throws Error where it has no markers
 */
export function replaceFigures(text: string, figures: string): string {
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from === -1 || to < from) throw new Error(`the document has no place for the figures: ${begin}`);
  return `${text.slice(0, from)}${begin}\n\n${figures.trim()}\n\n${text.slice(to)}`;
}

/** The figures of all parts that have been measured. */
export function formatFigures(results: Partial<Results>): string {
  return [
    formatSetting(results),
    formatRuns(results),
    formatProfile(results),
    formatLimited(results),
    formatWindow(results),
  ]
    .filter((part) => part !== "")
    .join("\n\n");
}

function formatSetting({ machine }: Partial<Results>): string {
  if (machine === undefined) return "";
  const memory = `${Math.round(machine.memoryBytes / 2 ** 30)} GiB of RAM`;
  return [
    `Measured on ${machine.date}.`,
    "",
    `- Machine: ${machine.cpus} CPUs (${machine.cpu}), ${memory}, Linux ${machine.kernel}`,
    `- Device: ${machine.device}`,
    `- Image: ${machine.image}`,
    `- Programs: ${machine.programs.join(", ")}`,
  ].join("\n");
}

function formatRuns({ runs, ratios, ratios_with_readback, rounds, commands }: Partial<Results>): string {
  if (runs === undefined || ratios === undefined || ratios_with_readback === undefined) return "";
  const listed = Object.entries(commands ?? {}).map(([name, command]) => `${name.padEnd(28)}${command}`);
  return [
    "## Writing the image",
    `Medians of ${rounds} rounds.`,
    asMarkdown(runRows(runs)),
    "The commands (bash with `pipefail`; `$BUN` is the bun of `node_modules`):",
    `\`\`\`sh\n${listed.join("\n")}\n\`\`\``,
    asMarkdown(ratioRows(ratios, ratios_with_readback)),
  ].join("\n\n");
}

function formatProfile({ profile }: Partial<Results>): string {
  if (profile === undefined) return "";
  const seconds = (value: number | null) => (value === null ? "" : value.toFixed(2));
  const rows = profile.map((row) => [
    row.what,
    seconds(row.seconds),
    seconds(row.userSeconds),
    seconds(row.systemSeconds),
  ]);
  return [
    "## Where the CPU goes",
    "The parts of the work each by itself, and then the threads of one run of reimage (`process/thread`).",
    asMarkdown([["", "wall s", "user s", "system s"], ...rows]),
  ].join("\n\n");
}

function formatLimited({ limited, limited_missing }: Partial<Results>): string {
  if (limited === undefined) return "";
  const tables = limited.flatMap(({ bytesPerSecond, rounds, runs }) => [
    `### ${bytesPerSecond / 1e6} MB/s, medians of ${rounds}`,
    asMarkdown(runRows(runs)),
  ]);
  const missing = limited.length === 0 ? [`Not measured: ${limited_missing}.`] : [];
  return ["## On a device of limited speed", ...missing, ...tables].join("\n\n");
}

function formatWindow({ offline_window }: Partial<Results>): string {
  if (offline_window === undefined) return "";
  const rows = Object.entries(offline_window.runs).map(([name, { median_s, min_s, max_s }]) => [
    name,
    median_s.toFixed(1),
    `${min_s.toFixed(1)}–${max_s.toFixed(1)}`,
  ]);
  return [
    "## The whole offline window",
    `Seconds from the first line of \`/init\` to the reboot, medians of ${offline_window.rounds} rounds.`,
    asMarkdown([["", "median s", "min–max s"], ...rows]),
  ].join("\n\n");
}
