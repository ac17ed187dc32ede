/** `make test`: every lane, one after the other, whatever becomes of the ones before; and one line that sums them up. */
import { $, chalk, echo } from "zx";

/** A lane of tests. The commands that are no test runner count as one test each. */
interface Lane {
  readonly name: string;
  readonly commands: readonly (readonly string[])[];
}

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const bun = process.execPath;
const lanes: readonly Lane[] = [
  {
    name: "check",
    commands: [
      ["node_modules/.bin/tsc"],
      ["node_modules/.bin/tsc", "-p", "src/control/dashboard"],
      ["node_modules/.bin/biome", "check", "."],
      [bun, "test", "test/unit"],
    ],
  },
  { name: "control", commands: [[bun, "test", "--timeout", "60000", "test/control"]] },
  { name: "loop", commands: [[bun, "test", "test/loop"]] },
  { name: "vm", commands: [[bun, "test", "test/vm"]] },
  // A few power cuts; `make test-power` makes hundreds.
  {
    name: "power",
    commands: [[bun, "scripts/power/sweep.ts", "--firmware", "bios", "--place", "gap", "--states", "8"]],
  },
];

/** What bun's test runner says at its end (pure); null where it said nothing. */
function parseCounts(output: string): Counts | null {
  const count = (word: string) => Number(new RegExp(`^ *(\\d+) ${word}$`, "m").exec(output)?.[1] ?? 0);
  if (!/^Ran \d+ tests? across/m.test(output)) return null;
  const errors = count("errors?");
  return { passed: count("pass"), failed: count("fail") + errors, skipped: count("skip") + count("todo") };
}

async function runCommand(command: readonly string[]): Promise<Counts & { readonly skips: readonly string[] }> {
  const running = $({ nothrow: true, quiet: true })`${command} 2>&1`;
  running.stdout.pipe(process.stdout, { end: false });
  const result = await running;
  const output = result.stdout;
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
  for (const command of lane.commands) {
    const result = await runCommand(command);
    counts.passed += result.passed;
    counts.failed += result.failed;
    counts.skipped += result.skipped;
    skips.push(...result.skips);
  }
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
