/** Tests with virtual machines run beside each other, two at a time: a machine that boots keeps little more than one core busy. */
import { test } from "bun:test";

const testTimeoutMs = 2_400_000; // most of it is waiting for a turn
const waiting: (() => void)[] = [];
let free = Number(process.env.MACHINES_AT_A_TIME ?? 2);

/** A test that starts one machine after the other, if several. It runs when it is its turn. */
export function machineTest(name: string, run: () => Promise<void>): void {
  test.concurrent(
    name,
    async () => {
      if (free > 0) free -= 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      try {
        await run();
      } finally {
        const next = waiting.shift();
        if (next === undefined) free += 1;
        else next();
      }
    },
    testTimeoutMs,
  );
}
