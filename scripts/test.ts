/** `make test`: every lane, one after the other, whatever becomes of the ones before; and one line that sums them up. */
import { readdirSync } from "node:fs";
import { $, chalk, echo } from "zx";

/** A lane of tests. The commands that are no test runner count as one test each. */
interface Lane {
  readonly name: string;
  readonly commands: readonly (readonly string[])[];
  /** How many commands run beside each other; 1 unless given. What they say comes when they end then. */
  readonly atATime?: number;
}

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const bun = process.execPath;
/** Virtual machines that run at a time, on two cores. */
const MACHINES = 2;
/** For the tests that say nothing else: a busy machine is slow, and that is no failure. */
const patience = ["--timeout", "60000"];
const lanes: readonly Lane[] = [
  {
    name: "check",
    commands: [
      ["node_modules/.bin/tsc"],
      ["node_modules/.bin/tsc", "-p", "src/control/dashboard"],
      ["node_modules/.bin/biome", "check", "."],
      [bun, "test", ...patience, "test/unit"],
    ],
  },
  { name: "control", commands: [[bun, "test", ...patience, "test/control"]] },
  { name: "loop", commands: [[bun, "test", ...patience, "test/loop"]] },
  // Shared by the machines.
  { name: "kiosks", commands: [[bun, "scripts/kiosk/make-kiosk.ts"]] },
  {
    name: "vm",
    // Every file by itself: a machine that boots keeps one core busy, and a file with one machine would leave the other idle.
    commands: machineTests().map((file) => [bun, "test", file]),
    atATime: 2,
  },
  // A few power cuts; `make test-power` makes hundreds.
  {
    name: "power",
    commands: [[bun, "scripts/power/sweep.ts", "--firmware", "bios", "--place", "gap", "--states", "8"]],
  },
];

/** The longest first, so that none of them is left alone at the end. */
function machineTests(): string[] {
  const longest = ["reimage", "faults-program", "one-shot", "lifeboat-bad", "lifeboat-memory"].map(
    (name) => `${name}.test.ts`,
  );
  const files = readdirSync("test/vm").filter((name) => name.endsWith(".test.ts"));
  return [...longest, ...files.filter((name) => !longest.includes(name))].map((name) => `test/vm/${name}`);
}

/** What bun's test runner says at its end (pure); null where it said nothing. */
function parseCounts(output: string): Counts | null {
  const count = (word: string) => Number(new RegExp(`^ *(\\d+) ${word}$`, "m").exec(output)?.[1] ?? 0);
  if (!/^Ran \d+ tests? across/m.test(output)) return null;
  const errors = count("errors?");
  return { passed: count("pass"), failed: count("fail") + errors, skipped: count("skip") + count("todo") };
}

/** @param isShown whether what it says comes at once, and not when it ends. */
async function runCommand(
  command: readonly string[],
  isShown: boolean,
  machines: number,
): Promise<Counts & { readonly skips: readonly string[] }> {
  const env = { ...process.env, MACHINES_AT_A_TIME: String(machines) };
  const running = $({ nothrow: true, quiet: true, env })`${command} 2>&1`;
  if (isShown) running.stdout.pipe(process.stdout, { end: false });
  const result = await running;
  const output = result.stdout;
  if (!isShown) process.stdout.write(output);
  const skips = output.split("\n").filter((line) => line.startsWith("(skip)"));
  const isTestRunner = command.includes("test");
  const counts = isTestRunner
    ? parseCounts(output)
    : { passed: result.ok ? 1 : 0, failed: result.ok ? 0 : 1, skipped: 0 };
  if (counts === null) return { passed: 0, failed: 1, skipped: 0, skips };
  if (!result.ok && counts.failed === 0) counts.failed = 1; // it ended badly without saying which test did
  return { ...counts, skips };
}

const wanted = process.argv.slice(2);
const total: Counts = { passed: 0, failed: 0, skipped: 0 };
const skips: string[] = [];
for (const lane of lanes.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
  const start = performance.now();
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  const { atATime = 1 } = lane;
  const waiting = [...lane.commands];
  const work = async (): Promise<void> => {
    for (let command = waiting.shift(); command !== undefined; command = waiting.shift()) {
      const result = await runCommand(command, atATime === 1, Math.ceil(MACHINES / atATime));
      counts.passed += result.passed;
      counts.failed += result.failed;
      counts.skipped += result.skipped;
      skips.push(...result.skips);
    }
  };
  await Promise.all(Array.from({ length: atATime }, work));
  const seconds = Math.round((performance.now() - start) / 1000);
  const words = `${lane.name}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped in ${seconds} s`;
  echo(counts.failed === 0 ? chalk.green(words) : chalk.red(words));
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
}
for (const skip of skips) echo(skip);
echo(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
