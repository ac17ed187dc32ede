/** Right before the first write the guard looks again: what has changed since the judgement refuses the run. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CliResult } from "../support/cli.ts";
import { closeGate, isStage, startRun } from "../support/following.ts";
import { runTestCommand, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { type Kiosk, openKiosk } from "../support/open-kiosk.ts";
import { expectRefused } from "../support/refusals.ts";
import {
  copySparse,
  makeNewImage,
  makeOldDisk,
  retentionList,
  tinyDiskSizes,
  tinyImageSizes,
} from "../support/small-kiosk.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const labels = `g${process.pid}`;
const stack = new AsyncDisposableStack();
let base: TemporaryDirectory;
const at = (name: string) => join(base.dir, name);

beforeAll(async () => {
  base = stack.use(await temporaryDirectory());
  writeFileSync(at("list"), retentionList);
  await makeNewImage(at("new.img"), "mbr", { sizes: tinyImageSizes, programMiB: 1 });
  execFileSync("lbzip2", ["--keep", at("new.img")]);
  await makeOldDisk(at("old.img"), "mbr", { "os.img.bz2": at("new.img.bz2") }, { labels, sizes: tinyDiskSizes });
});

afterAll(() => stack.disposeAsync());

const openFresh = () => openKiosk({ layout: "mbr", oldDisk: at("old.img"), list: at("list"), labels });

/** Runs to the end of stage save, changes the world, and goes on. */
async function changeAfterSave(kiosk: Kiosk, change: () => Promise<void>): Promise<CliResult> {
  await using run = startRun(kiosk);
  await run.untilEvent((event) => event.type === "run-started");
  const gate = await closeGate(kiosk, "state.json");
  await run.untilEvent(isStage("stage-finished", "save"));
  await change();
  await gate.open();
  return await run.finished;
}

test("the target has been mounted meanwhile", async () => {
  await using kiosk = await openFresh();
  const directory = await temporaryDirectory();
  try {
    const result = await changeAfterSave(kiosk, async () => {
      await runTestCommand(["mount", "-o", "ro", kiosk.partition(1), directory.dir]);
    });
    expectRefused(kiosk, result, {
      code: "target-busy",
      stage: "write",
      says: `${kiosk.partition(1)} is mounted on ${directory.dir}`,
    });
  } finally {
    await runTestCommand(["umount", directory.dir]);
    await directory[Symbol.asyncDispose]();
  }
  expect(await runTestCommand(["cmp", at("old.img"), kiosk.disk])).toBe("");
});

test("another disk has taken the name of the target", async () => {
  await using kiosk = await openFresh();
  const other = join(kiosk.directory, "other.img");
  await copySparse(at("old.img"), other);
  const result = await changeAfterSave(kiosk, async () => {
    await runTestCommand(["losetup", "--detach", kiosk.loop]);
    await runTestCommand(["losetup", "--partscan", kiosk.loop, other]);
  });
  expectRefused(kiosk, result, {
    code: "target",
    stage: "write",
    says: /is not the disk that was chosen: diskSequence was/,
  });
  for (const disk of [kiosk.disk, other]) expect(await runTestCommand(["cmp", at("old.img"), disk])).toBe("");
});
