/** The command line of the sweep. */
import { parseArgs } from "node:util";
import { mutants } from "./mutants.ts";
import { type Phase, phases } from "./phases.ts";
import type { Scenario } from "./scenario.ts";
import type { Place } from "./small-os/disks.ts";

export interface SweepOptions {
  readonly scenarios: readonly Scenario[];
  /** Of each scenario. */
  readonly states: number;
  readonly seed: number;
  /** This part of the states, counted from 0, of so many. */
  readonly shard: { readonly index: number; readonly count: number };
  /** Take the recordings that are kept, and leave out what is judged already. */
  readonly resume: boolean;
  /** Of the results that are kept, one state: boot this one alone, and keep its disk. */
  readonly only: string | null;
  /** Only states of this phase of the run (scripts/power/phases.ts). */
  readonly phase: Phase | null;
  readonly workers: number;
}

const everything: readonly Omit<Scenario, "mutant">[] = [
  { system: "small", firmware: "bios", place: "gap", sectorSizeBytes: 512 },
  { system: "small", firmware: "bios", place: "swap", sectorSizeBytes: 512 },
  { system: "small", firmware: "bios", place: "file", sectorSizeBytes: 512 },
  { system: "small", firmware: "uefi", place: "gap", sectorSizeBytes: 512 },
  { system: "small", firmware: "uefi", place: "swap", sectorSizeBytes: 512 },
  { system: "small", firmware: "uefi", place: "file", sectorSizeBytes: 512 },
  { system: "small", firmware: "uefi", place: "gap", sectorSizeBytes: 4096 },
  { system: "debian", firmware: "bios", place: "file", sectorSizeBytes: 512 },
];

export const sweepUsage = `bun scripts/power/sweep.ts [options]
  --firmware bios|uefi  --place gap|swap|file  --sector 512|4096   only scenarios like this (default: all)
  --system small|debian   which systems (default small); debian, with GRUB, takes minutes for a state
  --states N     how many crash states of each scenario (default 200)
  --seed N       which of them (default 1)
  --mutant NAME  with this change of the program (scripts/power/mutants.ts), until a machine is dead; all: with each of them,
                 one after the other, on the first scenario
  --shard I/N    the I-th part of N, counted from 1
  --resume       go on with what a sweep before has recorded and judged
  --phase NAME   only states of this phase, such as writing
  --only ID      this one state; its disk is kept
  --workers N    virtual machines at a time (default 2)`;

/** @throws Error for what makes no sense. */
export function parseSweepOptions(args: readonly string[]): SweepOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      system: { type: "string", default: "small" },
      firmware: { type: "string" },
      place: { type: "string" },
      sector: { type: "string" },
      states: { type: "string", default: "200" },
      seed: { type: "string", default: "1" },
      mutant: { type: "string" },
      shard: { type: "string", default: "1/1" },
      resume: { type: "boolean", default: false },
      only: { type: "string" },
      phase: { type: "string" },
      workers: { type: "string", default: "2" },
    },
  });
  const { system, firmware, place, sector, mutant = null, only = null, resume } = values;
  const scenarios = everything
    .filter((scenario) => scenario.system === system)
    .filter((scenario) => firmware === undefined || scenario.firmware === firmware)
    .filter((scenario) => place === undefined || scenario.place === (place as Place))
    .filter((scenario) => sector === undefined || String(scenario.sectorSizeBytes) === sector)
    .slice(0, mutant === "all" ? 1 : undefined)
    .flatMap((scenario) =>
      (mutant === "all" ? mutants.map(({ name }) => name) : [mutant]).map((name) => ({ ...scenario, mutant: name })),
    );
  if (scenarios.length === 0)
    throw new Error("there is no such scenario: a machine with BIOS has sectors of 512 bytes");
  const [, part = "", count = ""] = /^(\d+)\/(\d+)$/.exec(values.shard) ?? [];
  const shard = { index: wholeNumber(part, "--shard") - 1, count: wholeNumber(count, "--shard") };
  if (shard.index >= shard.count) throw new Error(`--shard ${values.shard}: there is no such part`);
  const phase = phases.find((known) => known === values.phase) ?? null;
  if (values.phase !== undefined && phase === null)
    throw new Error(`--phase ${values.phase}: one of ${phases.join(", ")}`);
  const [states, workers] = [wholeNumber(values.states, "--states"), wholeNumber(values.workers, "--workers")];
  return { scenarios, states, workers, seed: wholeNumber(values.seed, "--seed"), shard, resume, only, phase };
}

function wholeNumber(text: string, option: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new Error(`${option}: expected a whole number from 1 on, not "${text}"`);
}
