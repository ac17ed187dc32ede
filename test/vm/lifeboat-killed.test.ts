/**
 * A run from the lifeboat that is killed, is out of memory, and panics, again and again: it ends in the complete new system all
 * the same. `make test-power` does it at hundreds of instants.
 */
import { afterAll, beforeAll, expect } from "bun:test";
import { join } from "node:path";
import { type Armed, armDisk } from "../../scripts/power/armed.ts";
import { judgeMachine } from "../../scripts/power/boot-state.ts";
import { type Means, marks, onceWiped, type Strike } from "../../scripts/power/strikes.ts";
import { runStruck, strikable } from "../../scripts/power/struck-machine.ts";
import { runTestCommand, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import { createRandom } from "../support/random.ts";

const armTimeoutMs = 900_000;
let made: TemporaryDirectory;
let armed: Armed;

beforeAll(async () => {
  made = await temporaryDirectory();
  armed = await armDisk("struck", "build/reimage", strikable);
}, armTimeoutMs);
afterAll(async () => await made[Symbol.asyncDispose]());

/** In the order of a run; where in it is left to the seed. */
const plan: readonly (readonly [Means, string])[] = [
  ["kill", "[save] begins"],
  ["oom", "[save] saving the retained files"],
  ["kill", "[save] finished"],
  ["panic", "[write] writing the image"],
  ["kill", "[write] reading it back"],
  ["oom", "[restore] begins"],
  ["kill", "directories are back"],
];

machineTest("killed at eight moments of one run, by all means, a machine ends in the new system", async () => {
  const disk = join(made.dir, "disk.img");
  await runTestCommand(["cp", "--sparse=always", armed.disk, disk]);
  const random = createRandom(42);
  const strikes = plan.map(([means, said]): Strike => {
    const mark = marks.findLastIndex((pattern) => pattern.test(said));
    return { means, mark, delayMs: random.below(300) };
  });
  // The new system is complete by then, and the lifeboat is no more: it is not looked for.
  strikes.push({ means: "kill", mark: onceWiped, delayMs: 0 });
  const run = await runStruck(armed, disk, strikes);
  const hits = run.struck.filter(({ hit }) => hit !== null);
  expect(hits.length).toBeGreaterThanOrEqual(plan.length); // the last one may come too late
  expect(new Set(hits.map(({ state }) => state)).size).toBeGreaterThanOrEqual(4);
  expect(await judgeMachine(run, disk, armed)).toMatchObject({ outcome: "new", reason: null });
});
