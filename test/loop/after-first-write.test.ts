/** Failures after the first write: every one has a name, and none leaves half a system that boots. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readReport, runCli } from "../support/cli.ts";
import { expectFinishes, expectPartial } from "../support/endings.ts";
import { closeGate, findChild, isProgress, isStage, isState, isStep, startRun } from "../support/following.ts";
import { mountDevice, runTestCommand, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { noise, put } from "../support/make-disk.ts";
import { type Kiosk, type KioskOptions, openKiosk } from "../support/open-kiosk.ts";
import { expectRefused } from "../support/refusals.ts";
import { makeNewImage, makeOldDisk, retentionList, tinyDiskSizes, tinyImageSizes } from "../support/small-kiosk.ts";
import { fillUp, mountTmpfs } from "../support/tmpfs.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const labels = `a${process.pid}`;
const stack = new AsyncDisposableStack();
let base: TemporaryDirectory;
const at = (name: string) => join(base.dir, name);
const MIB = 1 << 20;

beforeAll(async () => {
  base = stack.use(await temporaryDirectory());
  writeFileSync(at("list"), retentionList);
  await makeNewImage(at("new.img"), "mbr", {
    sizes: tinyImageSizes,
    programMiB: 8,
    fillData: (dir) => fillUp(dir, "full", noise("full", 4096)),
  });
  execFileSync("lbzip2", ["--keep", at("new.img")]);
  const images = { "os.img.bz2": at("new.img.bz2") };
  const fillRoot = (root: string) => put(root, "/var/lib/large", noise("large", 11 * MIB));
  await makeOldDisk(at("old.img"), "mbr", images, { labels, sizes: tinyDiskSizes, fillRoot });
});

afterAll(() => stack.disposeAsync());

const openFresh = (options: Partial<KioskOptions> = {}) =>
  openKiosk({ layout: "mbr", oldDisk: at("old.img"), list: at("list"), labels, ...options });

describe("the disk", () => {
  test("has no room for what is written: an error of the device, and syncing tells", async () => {
    await using memory = await mountTmpfs(48 * MIB);
    await using kiosk = await openFresh({ diskDirectory: memory.dir });
    // Room for what was on it, and for a part of the image.
    const usedBytes = Number((await runTestCommand(["du", "--block-size=1", kiosk.disk])).split("\t")[0]);
    await memory.resize(usedBytes + 4 * MIB);
    const result = await runCli(["run", "--yes", ...kiosk.arguments]);
    expectPartial(kiosk, result, { code: "device-io", says: new RegExp(`${kiosk.loop}.*(EIO|ENOSPC)`) });
    expect(readReport(kiosk.workDir)).toMatchObject({ stage: "write", readback: null });
    await memory.resize(200 * MIB);
    await expectFinishes(kiosk);
  });

  test("does not hold what was written to it: it is written once more, read back again, and told", async () => {
    await using kiosk = await openFresh();
    await using run = startRun(kiosk);
    await run.untilEvent((event) => event.type === "run-started");
    const gate = await closeGate(kiosk, "first-mib");
    await run.untilEvent(
      (event) => event.type === "progress" && /writing/.test(event.what) && event.doneBytes === event.totalBytes,
    );
    // Nothing boots while the image is on the disk and not yet proven.
    expect(readFileSync(kiosk.loop).subarray(0, MIB).equals(Buffer.alloc(MIB))).toBe(true);
    const offset = 9 * MIB + 4321;
    const fd = openSync(kiosk.loop, "r+");
    try {
      const byte = Buffer.alloc(1);
      readSync(fd, byte, 0, 1, offset);
      byte.writeUInt8(byte.readUInt8() ^ 1);
      writeSync(fd, byte, 0, 1, offset);
    } finally {
      closeSync(fd);
    }
    const head = await gate.open();
    await writeFile(join(kiosk.workDir, "first-mib"), head); // the gate still stands there when it is read again
    expect((await run.finished).exitCode).toBe(0);
    const report = readReport(kiosk.workDir);
    const range = `bytes ${8 * MIB} to ${12 * MIB}`;
    expect(String(report.warnings)).toContain(`${kiosk.loop} does not hold what was written to it: ${range}`);
    expect(report).toMatchObject({ outcome: "success", readback: (report.image as { sha256: string }).sha256 });
  });
});

describe("the decoder", () => {
  test("is killed while the image is judged", async () => {
    await using kiosk = await openFresh();
    const before = await kiosk.sha256();
    await using run = startRun(kiosk);
    await run.untilEvent(isProgress(/decoding/));
    process.kill(await run.until(() => findChild(run.pid, "lbzip2")), "SIGKILL");
    expectRefused(kiosk, await run.finished, {
      code: "image",
      says: /cannot be decoded: lbzip2 .* was ended by SIGKILL/,
    });
    expect(await kiosk.sha256()).toBe(before);
  });

  test("is killed while the image is written", async () => {
    await using kiosk = await openFresh();
    await using run = startRun(kiosk);
    await run.untilEvent(isState("partial"));
    process.kill(await run.until(() => findChild(run.pid, "lbzip2")), "SIGKILL");
    expectPartial(kiosk, await run.finished, { code: "image", says: /lbzip2 .* was ended by SIGKILL/ });
    await expectFinishes(kiosk);
  });
});

describe("the image in memory changes after it was judged", () => {
  /** A run that stands still between save and write. */
  async function stopAfterSave(kiosk: Kiosk, run: ReturnType<typeof startRun>) {
    await run.untilEvent((event) => event.type === "run-started");
    const gate = await closeGate(kiosk, "state.json");
    await run.untilEvent(isStage("stage-finished", "save"));
    return { gate, image: join(kiosk.workDir, "image") };
  }

  test("in its size: refused, and the disk is untouched", async () => {
    await using kiosk = await openFresh();
    const before = await kiosk.sha256();
    await using run = startRun(kiosk);
    const { gate, image } = await stopAfterSave(kiosk, run);
    truncateSync(image, 1 << 20);
    await gate.open();
    const says = /has 1048576 bytes now; when it was judged it had \d+/;
    expectRefused(kiosk, await run.finished, { code: "image", says, stage: "write" });
    expect(await kiosk.sha256()).toBe(before);
  });

  test("in its content: what differs is not written, and a good one lets the run carry on", async () => {
    await using kiosk = await openFresh();
    await using run = startRun(kiosk);
    const { gate, image } = await stopAfterSave(kiosk, run);
    const good = readFileSync(image);
    writeFileSync(image, good.with(good.length >> 1, (good[good.length >> 1] ?? 0) ^ 0x10));
    await gate.open();
    expectPartial(kiosk, await run.finished, { code: "image", says: /lbzip2 .* ended with status 1|different bytes/ });
    writeFileSync(image, good);
    await expectFinishes(kiosk);
  });
});

describe("the new OS", () => {
  test("has no room for a retained file", async () => {
    writeFileSync(at("long-list"), `${retentionList}/var/lib/large\n`);
    await using kiosk = await openFresh({ list: at("long-list") });
    const result = await runCli(["run", "--yes", ...kiosk.arguments]);
    expectPartial(kiosk, result, { code: "restore", says: /cannot restore \/var\/lib\/large .*full \(ENOSPC\)/ });
    expect(readReport(kiosk.workDir)).toMatchObject({ stage: "restore", retained: { missing: ["/etc/not-there"] } });
    {
      await using root = await mountDevice(kiosk.partition(2));
      rmSync(join(root.dir, "usr/bin/program"));
    }
    await expectFinishes(kiosk);
  });

  test("has no room for the log: what concerns the new OS alone can be corrected", async () => {
    await using kiosk = await openFresh();
    const full = ["--set", "new.mounts={ /kiosk: 6, /data: 5 }", "--set", "log=/data/log"];
    const result = await runCli(["run", "--yes", ...kiosk.arguments, ...full]);
    expectPartial(kiosk, result, { code: "restore", says: /cannot write \/data\/log.* in the new OS: .*ENOSPC/ });
    await expectFinishes(kiosk, ["--set", "log=/kiosk/log"]);
  });
});

test("the work directory is filled by something else", async () => {
  await using kiosk = await openFresh();
  await using memory = await mountTmpfs(64 * MIB, kiosk.workDir);
  await using run = startRun(kiosk);
  await run.untilEvent((event) => event.type === "run-started");
  const gate = await closeGate(kiosk, "state.json");
  await run.untilEvent(isStage("stage-finished", "save"));
  fillUp(memory.dir, "ballast");
  await gate.open();
  const result = await run.finished;
  // The state cannot be recorded, so nothing may be written: the disk is as it was.
  expect(result.stdout).toMatch(
    /^reimage: failed in stage \w+: .*(state\.json|first-write-\S+) cannot be written.*The disk is untouched/m,
  );
  expect(result.exitCode).toBe(3);
  expect(await runTestCommand(["cmp", at("old.img"), kiosk.disk])).toBe("");
});

test("a run with another image cannot take over one that has begun to write", async () => {
  await using kiosk = await openFresh();
  {
    await using run = startRun(kiosk);
    await run.untilEvent(isStep(/^writing to/)); // the first sector has been cleared
    await run.kill();
  }
  const files = readdirSync(kiosk.workDir).sort();
  const result = await runCli(["run", "--yes", ...kiosk.arguments, "--set", `image.source=${at("new.img.bz2")}`]);
  const says = /holds a run with another image, target, old OS or retention list that has begun to write/;
  expectPartial(kiosk, result, { code: "state", says });
  expect(readdirSync(kiosk.workDir).sort()).toEqual([...new Set([...files, "report.json"])].sort());
  await expectFinishes(kiosk);
});
