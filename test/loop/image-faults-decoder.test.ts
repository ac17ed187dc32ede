/** Decoders that die, lie, hang, or are not there: no run ends well that had one. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BareMachine, isBeingWritten, makeBareImage, openBareMachine } from "../support/bare-machine.ts";
import { type CliOptions, readReport } from "../support/cli.ts";
import { type Misdeed, makeFalseDecoder, type Phase } from "../support/false-decoder.ts";
import { startRun } from "../support/following.ts";
import { formats, putManifest } from "../support/image-faults.ts";
import { temporaryDirectory } from "../support/loop-device.ts";
import { eventsOf, expectRefused, runAfresh, settings } from "../support/refusals.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const stack = new AsyncDisposableStack();
let folder: string;
let raw: Buffer;

beforeAll(async () => {
  folder = stack.use(await temporaryDirectory()).dir;
  raw = await makeBareImage(folder);
  const key = ["-p", join(folder, "key.pub"), "-s", join(folder, "key")];
  execFileSync("minisign", ["-G", "-W", ...key], { stdio: "ignore" });
});
afterAll(() => stack.disposeAsync());

const set = () => ({ "image.source": join(folder, "image") });

/** The decoder `tool` that goes wrong when `phase` has come. */
function falseDecoder(tool: string, misdeed: Misdeed, phase: Phase, machine: BareMachine): Required<CliOptions> {
  return { without: [], instead: { [tool]: makeFalseDecoder(folder, tool, misdeed, phase, machine.loop) } };
}

/** Started again with the real decoder, it carries on and ends well. */
async function expectFinishes(machine: BareMachine, more: Record<string, string> = {}): Promise<void> {
  await using run = startRun(machine, settings({ ...set(), ...more }));
  expect(await run.finished).toMatchObject({ exitCode: 0, stderr: "" });
  expect(await machine.firstWrong(raw)).toBeNull();
}

describe.each([
  ["bz2", "lbzip2"],
  ["gz", "gzip"],
  ["xz", "xz"],
  ["zst", "zstd"],
])("%s by a %s", (name, tool) => {
  beforeAll(() => {
    const format = formats.find((each) => each.name === name);
    writeFileSync(join(folder, "image"), format?.pack(raw) ?? "");
  });

  test.each<[Misdeed, RegExp]>([
    ["killed in the middle", /was ended by SIGKILL/],
    ["killed after its last byte", /was ended by SIGKILL/],
    ["complaining, with status 0", /complained: something is odd/],
    ["ending with status 1 after its last byte", /ended with status 1/],
    ["ending early with status 0", /is cut off: its partitions reach/],
  ])("%s, when the image is judged", async (misdeed, says) => {
    await using machine = await openBareMachine();
    const result = await runAfresh(machine, set(), falseDecoder(tool, misdeed, "judging", machine));
    expectRefused(machine, result, { code: "image", says });
    expect(await machine.firstChange()).toBeNull();
  });

  /** The run fails for that reason once it has begun to write; with the real decoder it carries on and ends well. */
  async function expectPartial(misdeed: Misdeed, says: RegExp, more: Record<string, string> = {}): Promise<void> {
    await using machine = await openBareMachine();
    const decoder = falseDecoder(tool, misdeed, "writing", machine);
    const result = await runAfresh(machine, { ...set(), ...more }, decoder);
    const report = readReport(machine.workDir);
    expect(report).toMatchObject({ outcome: "failed", target: "partial", stage: "write", code: "image" });
    expect(String(report.reason)).toMatch(says);
    expect(report.hint).toBeString();
    expect(result.stdout).toMatch(/^reimage: failed.*does not boot/m);
    expect(result).toMatchObject({ exitCode: 4, stderr: "" });
    expect(isBeingWritten(machine)).toBe(true); // it does not boot
    await expectFinishes(machine, more);
  }

  const inTheMiddle: [Misdeed, RegExp][] = [
    ["killed in the middle", /was ended by SIGKILL/],
    ["ending early with status 0", /decodes to (fewer|different|shorter)|shorter|ended/],
    ["decoding to something else", /decodes to (different|sha256)/],
  ];
  const atTheEnd: [Misdeed, RegExp][] = [
    ["killed after its last byte", /was ended by SIGKILL/],
    ["complaining, with status 0", /complained: something is odd/],
    ["ending with status 1 after its last byte", /ended with status 1/],
    ["going on behind the end", /longer|more/],
  ];

  test.each(inTheMiddle)("%s, when the image is written", (misdeed, says) => expectPartial(misdeed, says));

  // Every byte has a digest then, and the last one that is wanted has been matched: the rest is not asked for.
  test.each(atTheEnd)("%s, when the image is written, and all of it is right", async (misdeed) => {
    await using machine = await openBareMachine();
    const result = await runAfresh(machine, set(), falseDecoder(tool, misdeed, "writing", machine));
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expect(readReport(machine.workDir)).toMatchObject({ outcome: "success", target: "complete" });
    expect(await machine.firstWrong(raw)).toBeNull();
  });

  // A signed manifest spares the decoding that would take the digests: only its end says that the decoding went well.
  test.each([...inTheMiddle, ...atTheEnd])(
    "%s, when an image with a signed manifest is written",
    async (misdeed, says) => {
      const manifest = putManifest(join(folder, "image"), raw);
      execFileSync("minisign", ["-S", "-W", "-s", join(folder, "key"), "-m", manifest], { stdio: "ignore" });
      try {
        await expectPartial(misdeed, says, { "image.publicKey": join(folder, "key.pub") });
      } finally {
        rmSync(manifest);
      }
    },
  );

  // What ends it is the watchdog of the initramfs; until then nothing may look like an end.
  test.each<[Phase]>([["judging"], ["writing"]])("hanging, in %s", async (phase) => {
    await using machine = await openBareMachine();
    const decoder = falseDecoder(tool, "hanging", phase, machine);
    const pidFile = `${decoder.instead[tool]}.pid`;
    rmSync(pidFile, { force: true });
    await using run = startRun(machine, settings(set()), decoder);
    const pid = await run.until(() => (existsSync(pidFile) ? Number(readFileSync(pidFile, "utf8")) || null : null));
    await run.kill();
    process.kill(pid, "SIGKILL"); // nobody else ends it now
    expect(eventsOf(machine).some((event) => JSON.stringify(event).includes("success"))).toBe(false);
    expect(existsSync(join(machine.workDir, "report.json"))).toBe(false);
    if (phase === "judging") expect(await machine.firstChange()).toBeNull();
    else expect(isBeingWritten(machine)).toBe(true);
    await expectFinishes(machine);
  });
});

// The others can always be decoded: see the table of image-faults.test.ts.
test.each([["xz", "xz"]])("%s without %s", async (name, tool) => {
  writeFileSync(join(folder, "image"), formats.find((each) => each.name === name)?.pack(raw) ?? "");
  await using machine = await openBareMachine();
  const result = await runAfresh(machine, set(), { without: [tool] });
  expectRefused(machine, result, {
    code: "image",
    says: new RegExp(`is ${name}, and ${tool}, which decodes it, is not`),
  });
  expect(await machine.firstChange()).toBeNull();
});
