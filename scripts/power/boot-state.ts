/** Boots a disk in a crash state until the machine ends, and judges what became of it. */
import { copyFileSync, rmSync } from "node:fs";
import { checkSystem } from "./disk-check.ts";
import { type Ending, runMachine } from "./machine.ts";
import type { Recording } from "./recording.ts";
import { judgeSerial, type Verdict } from "./verdict.ts";

export interface Judged extends Verdict {
  readonly serial: string;
  readonly seconds: number;
  readonly cpuSeconds: number;
}

/** A machine that tries again and again counts its attempts, and ends in time. */
const limits = { seconds: 900, silentSeconds: 120 };

/**
 * @param disk is changed by the machine.
 * @param firmwareVariables are not.
 */
export async function bootState(recording: Recording, disk: string, firmwareVariables: string): Promise<Judged> {
  const { scenario } = recording;
  const { firmware, sectorSizeBytes } = scenario;
  const variables = `${disk}.variables`;
  copyFileSync(firmwareVariables, variables);
  try {
    const machine = { firmware, sectorSizeBytes, disk, ...(firmware === "uefi" ? { variables } : {}) };
    const { how, serial, seconds, cpuSeconds } = await runMachine(machine, limits);
    const measured = { serial, seconds, cpuSeconds };
    const verdict = judgeSerial({ how, serial }, identity);
    if (verdict.outcome === "dead") return { ...verdict, ...measured };
    const wrong = await checkSystem(disk, verdict.outcome === "old" ? recording.old : recording.new);
    if (wrong.length === 0) return { ...verdict, ...measured };
    const reason = `the ${verdict.outcome} system came up, but ${wrong.join("; ")}`;
    return { ...verdict, outcome: "dead", reason, ...measured };
  } finally {
    rmSync(variables, { force: true });
  }
}
