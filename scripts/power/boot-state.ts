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
 * @param memory of a machine that is up already; null: it starts from reset.
 */
export async function bootState(
  recording: Recording,
  disk: string,
  firmwareVariables: string,
  memory: string | null,
): Promise<Judged> {
  const { scenario } = recording;
  const { firmware, sectorSizeBytes } = scenario;
  const variables = `${disk}.variables`;
  copyFileSync(firmwareVariables, variables);
  try {
    const machine = {
      ...{ firmware, sectorSizeBytes, disk },
      ...(firmware === "uefi" ? { variables } : {}),
      ...(memory === null ? {} : { memory }),
    };
    const { how, serial, seconds, cpuSeconds } = await runMachine(machine, limits);
    return { ...(await judgeMachine({ how, serial }, disk, recording)), serial, seconds, cpuSeconds };
  } finally {
    rmSync(variables, { force: true });
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
