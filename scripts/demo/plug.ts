/** Pulling the plug of a virtual machine at a random moment of a stage. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Vm } from "../../test/support/qemu.ts";
import type { Random } from "../../test/support/random.ts";

export type Stage = "save" | "write" | "restore";

/** A moment of a stage: so many lines after its beginning, and then so long. The lines keep pace with the machine. */
export interface Moment {
  readonly stage: Stage;
  readonly lines: number;
  readonly thenMs: number;
}

/** Lines that a stage has on a serial console at least. */
const linesOf: Readonly<Record<Stage, number>> = { save: 3, write: 8, restore: 3 };

/** What is said when a stage is over. */
const overAt: Readonly<Record<Stage, RegExp>> = {
  save: /\[write\] begins/,
  write: /\[restore\] begins/,
  restore: /committing|reimage: success/,
};

export function chooseMoment(stage: Stage, random: Random): Moment {
  return { stage, lines: random.below(linesOf[stage]), thenMs: random.below(6000) };
}

/**
 * Waits for the moment, or for the end of the stage where that comes first, and pulls the plug.
 * @returns how many seconds after the beginning of the stage that was
 */
export async function pullPlug(vm: Vm, { stage, lines, thenMs }: Moment, timeoutMs: number): Promise<number> {
  await vm.waitForSerial(new RegExp(`\\[${stage}\\] begins`), timeoutMs);
  const start = performance.now();
  const isOver = () => overAt[stage].test(vm.serialText());
  for (let line = 0; line < lines && !isOver(); line++) await vm.waitForSerial(/\[[a-z]+\] [^\n]*\n/, timeoutMs);
  for (const end = performance.now() + thenMs; performance.now() < end && !isOver(); ) await sleep(50);
  await vm.kill();
  return (performance.now() - start) / 1000;
}
