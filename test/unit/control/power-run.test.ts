/** Power commands with real small programs, no shell among them. */
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type PowerAction, type PowerAdapter, powerAdapterSchema } from "../../../src/control/server/power/adapter.ts";
import { bootFromNetwork } from "../../../src/control/server/power/boot-from-network.ts";
import { runPower } from "../../../src/control/server/power/run.ts";
import { ReimageError } from "../../../src/errors.ts";

type Commands = Partial<Record<PowerAction, string[]>>;

function adapterOf(commands: Commands, changes: object = {}): PowerAdapter {
  const patterns = { statusOn: "^it is on$", statusOff: "^it is off$" };
  return powerAdapterSchema.parse({ name: "test", commands, ...patterns, retries: 0, ...changes });
}

async function refusalOf(call: Promise<unknown>): Promise<ReimageError> {
  const thrown = await call.then(
    (result) => new Error(`it succeeded: ${JSON.stringify(result)}`),
    (error: unknown) => error,
  );
  if (thrown instanceof ReimageError && thrown.code === "power") return thrown;
  throw thrown;
}

/** A directory in which touched files tell what was run. */
function openTrace() {
  const directory = mkdtempSync(join(tmpdir(), "reimage-power-"));
  return {
    directory,
    touch: (name: string) => ["/usr/bin/touch", join(directory, name)],
    touched: () => readdirSync(directory).sort(),
    [Symbol.dispose]: () => rmSync(directory, { recursive: true }),
  };
}

const says = (text: string) => ["/usr/bin/printf", "%s\\n", text];
const kiosk = { machine: "kiosk-7" };

test("each argument arrives whole, without a shell", async () => {
  const adapter = adapterOf({ on: ["printf", "[%s]", "{{a}}", "x={{a}}", "$HOME *", "{{machine}}"] });
  const { power, output } = await runPower(adapter, "on", { ...kiosk, a: "a  b'\"$(id);`id`" });
  expect(power).toBe(null);
  expect(output).toBe("[a  b'\"$(id);`id`][x=a  b'\"$(id);`id`][$HOME *][kiosk-7]");
});

test("a command has the environment that the template says, and nothing of ours", async () => {
  process.env.OF_THE_SERVER = "secret of the server";
  try {
    const adapter = adapterOf({ on: ["/usr/bin/env"] }, { env: { ANSWER: "is {{n}}" }, defaults: { n: "42" } });
    const { output } = await runPower(adapter, "on", kiosk);
    expect(
      output
        .split("\n")
        .map((line) => line.split("=")[0])
        .sort(),
    ).toEqual(["ANSWER", "LC_ALL", "PATH"]);
    expect(readFileSync("/proc/self/environ", "utf8")).not.toContain("ANSWER");
  } finally {
    delete process.env.OF_THE_SERVER;
  }
});

test.each([
  ["it is on", "on"],
  ["noise\nit is off\n", "off"],
  ["it is on\nit is off", "unknown"],
  ["who knows", "unknown"],
  ["it is on fire", "unknown"],
] as const)("status %j is %s", async (text, power) => {
  expect(await runPower(adapterOf({ status: says(text) }), "status", kiosk)).toEqual({ power, output: text.trim() });
});

test("a failure names machine, action, command line, status and what was said, without secrets", async () => {
  const adapter = adapterOf({ off: ["ls", "--", "/nowhere/{{password}}", "{{host}}"] });
  const error = await refusalOf(runPower(adapter, "off", { ...kiosk, password: "hunter2", host: "/h" }));
  expect(error.message).toStartWith("kiosk-7: power off: ls -- /nowhere/<hidden> /h ended with status 2: ");
  expect(error.message).toContain("cannot access '/nowhere/<hidden>'");
  expect(`${error.stack} ${JSON.stringify(error)}`).not.toContain("hunter2");
});

test("output holds no secrets either", async () => {
  const adapter = adapterOf({ on: ["/usr/bin/env"] }, { env: { WORD: "<{{word}}>" } });
  const { output } = await runPower(adapter, "on", { ...kiosk, word: "hunter2" });
  expect(output).toContain("WORD=<<hidden>>");
});

test("a signal, and a program that is not there, are named", async () => {
  const killed = adapterOf({ on: ["perl", "-e", "kill 'SEGV', $$; sleep 9"] });
  expect((await refusalOf(runPower(killed, "on", kiosk))).message).toContain("was ended by SIGSEGV");
  const error = await refusalOf(runPower(adapterOf({ on: ["no-such-ipmitool"] }), "on", kiosk));
  expect(error.message).toMatch(/^kiosk-7: power on: no-such-ipmitool could not be run to its end \(.*not found/);
  expect(error.hint).toBe("nothing was switched; is no-such-ipmitool installed here?");
});

test("a command that ends with 0 and has not said what is expected has failed", async () => {
  const commands = { on: says("refused"), off: says("done") };
  const adapter = adapterOf(commands, { expected: { on: "^done$", off: "^done$" } });
  expect(await runPower(adapter, "off", kiosk)).toMatchObject({ output: "done" });
  const error = await refusalOf(runPower(adapter, "on", kiosk));
  expect(error.message).toContain("ended with status 0, but did not print what the power adapter expects: refused");
});

test("a status that is not understood is asked for again", async () => {
  using trace = openTrace();
  const print = `print(mkdir("${trace.directory}/asked") ? "hm" : "it is on")`;
  const adapter = adapterOf({ status: ["perl", "-e", print] }, { retries: 1 });
  expect(await runPower(adapter, "status", kiosk)).toEqual({ power: "on", output: "it is on" });
});

test("a command has not succeeded while what it started still runs", async () => {
  const adapter = adapterOf({ on: ["sh", "-c", "sleep 30 & exit 0"] }, { timeoutSeconds: 0.3 });
  expect((await refusalOf(runPower(adapter, "on", kiosk))).message).toContain("no end after 0.3 s");
});

test("too much output ends the command", async () => {
  const verbose = adapterOf({ on: ["head", "-c", "2000000", "/dev/zero"] });
  expect((await refusalOf(runPower(verbose, "on", kiosk))).message).toContain("printed too much");
  expect((await refusalOf(runPower(adapterOf({ on: ["yes"] }), "on", kiosk))).message).toContain("printed too much");
});

test("an action without a command is refused by name", async () => {
  const error = await refusalOf(runPower(adapterOf({ on: ["true"] }), "next-boot-disk", kiosk));
  expect(error.message).toBe('kiosk-7: power next-boot-disk: power adapter "test" has no command for it');
});

test("values that cannot be filled in run nothing", async () => {
  using trace = openTrace();
  const adapter = adapterOf({ on: [...trace.touch("on"), "{{file}}"] });
  expect((await refusalOf(runPower(adapter, "on", kiosk))).message).toContain('the variable "file" is missing');
  const option = runPower(adapter, "on", { ...kiosk, file: "--help" });
  expect((await refusalOf(option)).message).toContain('the variable "file" begins with "-"');
  expect(trace.touched()).toEqual([]);
});

test("a command that does not end is killed with everything it started", async () => {
  const mark = `4${process.pid}.5`; // a number of seconds that no other test sleeps
  const adapter = adapterOf({ on: ["sh", "-c", `sleep ${mark} & sleep ${mark}`] }, { timeoutSeconds: 0.3 });
  const error = await refusalOf(runPower(adapter, "on", kiosk));
  expect(error.message).toContain("was killed: no end after 0.3 s");
  expect(error.hint).toContain("ask for its status");
  await Bun.sleep(50);
  expect(commandLines().filter((line) => line.includes(mark))).toEqual([]);
});

test("what escapes with the output in its hands is not waited for", async () => {
  const adapter = adapterOf({ on: ["setsid", "--fork", "sleep", "20"] }, { timeoutSeconds: 0.2 });
  const result = refusalOf(runPower(adapter, "on", kiosk));
  const first = await Promise.race([result, Bun.sleep(15_000).then(() => null)]);
  expect(first?.message).toContain("no end after 0.2 s");
}, 20_000);

test("a command can be cancelled, before and while it runs", async () => {
  const adapter = adapterOf({ on: ["sleep", "60"] }, { retries: 5 });
  const cancel = new AbortController();
  const running = refusalOf(runPower(adapter, "on", kiosk, { signal: cancel.signal }));
  await Bun.sleep(100);
  cancel.abort();
  expect((await running).message).toContain("sleep 60 was cancelled");
  using trace = openTrace();
  const never = runPower(adapterOf({ on: trace.touch("on") }), "on", kiosk, { signal: cancel.signal });
  expect((await refusalOf(never)).message).toContain("was cancelled");
  expect(trace.touched()).toEqual([]);
});

test("a command that fails is tried again, a reset is not", async () => {
  using trace = openTrace();
  // mkdir succeeds once: the second attempt succeeds where the first has made way.
  const flaky = ["perl", "-e", `exit(mkdir("${trace.directory}/$ARGV[0]") ? 7 : 0)`, "{{action}}"];
  const variables = { ...kiosk, action: "first" };
  const adapter = adapterOf({ on: flaky, reset: flaky, status: says("it is on") }, { retries: 1 });
  expect(await runPower(adapter, "on", variables)).toMatchObject({ power: null });
  const again = adapterOf({ on: ["false"] }, { retries: 1 });
  expect((await refusalOf(runPower(again, "on", kiosk))).message).toContain("status 1 (attempt 2 of 2)");
  const reset = runPower(adapter, "reset", { ...kiosk, action: "second" });
  expect((await refusalOf(reset)).message).toContain("ended with status 7");
});

test.each([
  ["it is on", ["reset"]],
  ["it is off", ["on"]],
] as const)("reset where %s: %j", async (text, touched) => {
  using trace = openTrace();
  const adapter = adapterOf({ status: says(text), reset: trace.touch("reset"), on: trace.touch("on") });
  await runPower(adapter, "reset", kiosk);
  expect(trace.touched()).toEqual([...touched]);
});

test("a machine of which nothing is known is not reset", async () => {
  using trace = openTrace();
  const commands = { reset: trace.touch("reset"), on: trace.touch("on") };
  const mute = refusalOf(runPower(adapterOf({ ...commands, status: says("hm") }), "reset", kiosk));
  expect((await mute).message).toBe('kiosk-7: power reset: whether it is on is not known: status said "hm"');
  const broken = refusalOf(runPower(adapterOf({ ...commands, status: ["false"] }), "reset", kiosk));
  expect((await broken).message).toStartWith("kiosk-7: power status: false ended with status 1");
  expect(trace.touched()).toEqual([]);
});

test("a machine starts from the network: first the boot device, then the power", async () => {
  using trace = openTrace();
  // mv fails where the boot device was not set before.
  const moves = ["mv", "-T", "--", join(trace.directory, "boot"), join(trace.directory, "reset")];
  const adapter = adapterOf({ "next-boot-network": trace.touch("boot"), status: says("it is on"), reset: moves });
  await bootFromNetwork(adapter, kiosk);
  expect(trace.touched()).toEqual(["reset"]);
});

test("where the boot device cannot be set, the power is not touched", async () => {
  using trace = openTrace();
  const commands = { status: says("it is off"), reset: trace.touch("reset"), on: trace.touch("on") };
  const failing = bootFromNetwork(adapterOf({ ...commands, "next-boot-network": ["false"] }), kiosk);
  expect((await refusalOf(failing)).message).toBe(
    "kiosk-7: the next boot could not be set to the network; its power was not touched",
  );
  await refusalOf(bootFromNetwork(adapterOf(commands), kiosk));
  expect(trace.touched()).toEqual([]);
});

test("where the reset fails, the error says that the boot device is set; without a reset it is not", async () => {
  using trace = openTrace();
  const boot = { "next-boot-network": trace.touch("boot") };
  const failing = bootFromNetwork(adapterOf({ ...boot, status: says("it is on"), reset: ["false"] }), kiosk);
  expect((await refusalOf(failing)).message).toContain("next boot is set to the network, but it could not be reset");
  expect(trace.touched()).toEqual(["boot"]);
  using untouched = openTrace();
  const without = bootFromNetwork(adapterOf({ "next-boot-network": untouched.touch("boot") }), kiosk);
  expect((await refusalOf(without)).message).toContain("has no command for it");
  expect(untouched.touched()).toEqual([]);
});

function commandLines(): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")];
      } catch {
        return []; // ended meanwhile
      }
    });
}
