/** The queue of power jobs, with real small programs. */
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { powerAdapterSchema } from "../../../src/control/server/power/adapter.ts";
import { createPowerQueue, type PowerJob } from "../../../src/control/server/power/jobs.ts";

/** Appends "begin <word>" and "end <word>" to a file, with a pause between them. */
const logging = `open F, '>>', $ARGV[0]; syswrite F, "begin $ARGV[1]\\n"; select undef, undef, undef, $ARGV[2]; syswrite F, "end $ARGV[1]\\n"; exit $ARGV[3]`;

function openLog() {
  const directory = mkdtempSync(join(tmpdir(), "reimage-power-"));
  const file = join(directory, "log");
  writeFileSync(file, "");
  const adapter = powerAdapterSchema.parse({
    name: "log",
    commands: { on: ["perl", "-e", logging, file, "{{word}}", "{{seconds}}", "{{status}}"] },
    defaults: { seconds: "0", status: "0" },
    retries: 0,
  });
  return {
    adapter,
    lines: () => readFileSync(file, "utf8").split("\n").slice(0, -1),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true }),
  };
}

test("a hundred machines are a hundred results, and at no time more than so many commands", async () => {
  using log = openLog();
  await using queue = createPowerQueue({ parallel: 5, jobTimeoutSeconds: 60 });
  const jobs = Array.from({ length: 100 }, (_, n) => {
    const variables = { machine: `m${n}`, word: `${n}`, seconds: "0.01", status: n % 10 === 3 ? "1" : "0" };
    return queue.submit({ adapter: log.adapter, action: "on", variables });
  });
  expect(queue.counts()).toEqual({ waiting: 95, running: 5 });
  const outcomes = await Promise.all(jobs.map((job) => job.outcome));
  expect(outcomes.map((outcome) => outcome.ok)).toEqual(jobs.map((_, n) => n % 10 !== 3));
  expect(jobs.every((job) => job.state === "ended")).toBe(true);
  expect(queue.counts()).toEqual({ waiting: 0, running: 0 });
  let open = 0;
  let most = 0;
  for (const line of log.lines()) {
    open += line.startsWith("begin") ? 1 : -1;
    most = Math.max(most, open);
  }
  expect(log.lines()).toHaveLength(200);
  expect(most).toBeGreaterThan(1);
  expect(most).toBeLessThanOrEqual(5);
}, 30_000);

test("the jobs of one machine keep their order and never overlap, and hold up no other machine", async () => {
  using log = openLog();
  await using queue = createPowerQueue({ parallel: 2, jobTimeoutSeconds: 60 });
  const submit = (machine: string, word: string, seconds: string) =>
    queue.submit({ adapter: log.adapter, action: "on", variables: { machine, word, seconds } });
  const slow = ["a1", "a2", "a3"].map((word, i) => submit("a", word, i === 0 ? "0.5" : "0"));
  const other = submit("b", "b1", "0");
  expect(slow.map((job) => job.state)).toEqual(["running", "waiting", "waiting"]);
  await other.outcome;
  expect(slow[0]?.state).toBe("running");
  await Promise.all(slow.map((job) => job.outcome));
  const ofA = log.lines().filter((line) => line.includes(" a"));
  expect(ofA).toEqual(["begin a1", "end a1", "begin a2", "end a2", "begin a3", "end a3"]);
}, 30_000);

const sleeper = powerAdapterSchema.parse({ name: "s", commands: { on: ["sleep", "60"] }, timeoutSeconds: 500 });

async function errorOf(job: PowerJob): Promise<string> {
  const outcome = await job.outcome;
  return outcome.ok ? "it succeeded" : outcome.error.message;
}

test("every job has its result by the queue's time limit, the waiting too", async () => {
  await using queue = createPowerQueue({ parallel: 1, jobTimeoutSeconds: 0.3 });
  // What it leaves behind holds on to its output for a while, so that the second still waits when its time is over.
  const clinging = { ...sleeper, commands: { on: ["setsid", "--fork", "sleep", "3"] } };
  const jobs = ["a", "b"].map((machine) => queue.submit({ adapter: clinging, action: "on", variables: { machine } }));
  expect(await Promise.all(jobs.map(errorOf))).toEqual([
    "a: power on: setsid --fork sleep 3 was cancelled: the job had 0.3 s",
    "b: power on: was not begun: the job had 0.3 s",
  ]);
});

test("disposing cancels what runs and what waits, and nothing begins afterwards", async () => {
  const queue = createPowerQueue({ parallel: 1, jobTimeoutSeconds: 60 });
  const submit = (machine: string) => queue.submit({ adapter: sleeper, action: "on", variables: { machine } });
  const jobs = [submit("a"), submit("b")];
  await queue[Symbol.asyncDispose]();
  expect(jobs.map((job) => job.state)).toEqual(["ended", "ended"]);
  expect(await Promise.all([...jobs, submit("c")].map(errorOf))).toEqual([
    "a: power on: sleep 60 was cancelled: the server is stopping",
    "b: power on: was not begun: the server is stopping",
    "c: power on: was not begun: the server is stopping",
  ]);
});
