/** Boots a disk in a crash state until the machine ends, and judges what became of it. */
import { copyFileSync, rmSync } from "node:fs";
import { checkSystem } from "./disk-check.ts";
import { type Ending, type MachineOptions, runMachine } from "./machine.ts";
import type { Recording } from "./recording.ts";
import type { Snapshots } from "./snapshot.ts";
import { judgeSerial, type Verdict } from "./verdict.ts";

export interface Judged extends Verdict {
  readonly serial: string;
  readonly cpuSeconds: number;
  /** How the machine was started first: from reset, or from a snapshot (snapshot.ts). */
  readonly start: "reset" | "snapshot";
}

/** A machine that tries again and again counts its attempts, and ends in time. */
const limits = { seconds: 900, silentSeconds: 120 };

/**
 * @param disk is changed by the machine.
 * @param firmwareVariables are not.
 * @param snapshots null: it starts from reset, each time.
 */
export async function bootState(
  recording: Recording,
  disk: string,
  firmwareVariables: string,
  snapshots: Snapshots | null,
): Promise<Judged> {
  const { scenario } = recording;
  const { firmware, sectorSizeBytes } = scenario;
  const variables = `${disk}.variables`;
  copyFileSync(firmwareVariables, variables);
  try {
    const machine = { firmware, sectorSizeBytes, disk, ...(firmware === "uefi" ? { variables } : {}) };
    const ran = await (snapshots === null ? runFromReset(machine) : runByStarts(machine, snapshots));
    const { serial, cpuSeconds, start } = ran;
    return { ...(await judgeMachine(ran, disk, recording)), serial, cpuSeconds, start };
  } finally {
    rmSync(variables, { force: true });
  }
}

type Ran = Pick<Ending, "how" | "serial" | "cpuSeconds"> & Pick<Judged, "start">;

async function runFromReset(machine: MachineOptions): Promise<Ran> {
  return { ...(await runMachine(machine, limits)), start: "reset" };
}

/** Each start by itself, from a snapshot where there is one, until the machine switches itself off. */
async function runByStarts(machine: MachineOptions, snapshots: Snapshots): Promise<Ran> {
  const end = performance.now() + limits.seconds * 1000;
  const endings: Ending[] = [];
  let first: Judged["start"] | null = null;
  for (;;) {
    const memory = await snapshots.find(machine.disk, machine.variables ?? null);
    first ??= memory === null ? "reset" : "snapshot";
    const options = { ...machine, endsAtReset: true, ...(memory === null ? {} : { memory }) };
    const ending = await runMachine(options, { ...limits, seconds: (end - performance.now()) / 1000 });
    endings.push(ending);
    const isReset = ending.how === "off" && !/reboot: Power down/.test(ending.serial);
    if (isReset) continue;
    return {
      how: ending.how,
      serial: endings.map(({ serial }) => serial).join(""),
      cpuSeconds: endings.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
      start: first,
    };
  }
}

/** Judges a machine that has ended, by what it said and by its disk. */
export async function judgeMachine(
  ending: Pick<Ending, "how" | "serial">,
  disk: string,
  known: Pick<Recording, "identity" | "old" | "new">,
): Promise<Verdict> {
  const verdict = judgeSerial(ending, known.identity);
  if (verdict.outcome === "dead") return verdict;
  const wrong = await checkSystem(disk, known[verdict.outcome]);
  if (wrong.length === 0) return verdict;
  const reason = `the ${verdict.outcome} system came up, but ${wrong.join("; ")}`;
  return { ...verdict, outcome: "dead", reason };
}
