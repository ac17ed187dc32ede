/** Promise 7, crash-only: killed at any moment and started again, a run carries on and makes the same disk. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RunState } from "../../src/stages/state.ts";
import { readReport, runCli } from "../support/cli.ts";
import { describeDisk, readAt } from "../support/describe-disk.ts";
import {
  closeGate,
  type FollowedRun,
  type Gate,
  isProgress,
  isStage,
  isState,
  isStep,
  startRun,
} from "../support/following.ts";
import { runTestCommand, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { noise, put } from "../support/make-disk.ts";
import { type Kiosk, openKiosk } from "../support/open-kiosk.ts";
import { eventsOf } from "../support/refusals.ts";
import {
  type Layout,
  makeNewImage,
  makeOldDisk,
  retentionList,
  tinyDiskSizes,
  tinyImageSizes,
} from "../support/small-kiosk.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const layouts = ["mbr", "gpt"] as const;
/** Up to the end of the last partition, so that there is something to write at 90 percent. */
const imageSizes = { ...tinyImageSizes, diskMiB: 34 };
const stack = new AsyncDisposableStack();
const undisturbed = new Map<Layout, string>();
let base: TemporaryDirectory;
const at = (name: string) => join(base.dir, name);
const labelsOf = (layout: Layout) => `k${layout.slice(0, 1)}${process.pid}`;

beforeAll(async () => {
  base = stack.use(await temporaryDirectory());
  writeFileSync(at("list"), retentionList);
  for (const layout of layouts) {
    const fillKiosk = (directory: string) => put(directory, "/media", noise("media", 2 << 20));
    await makeNewImage(at(`${layout}.img`), layout, { sizes: imageSizes, programMiB: 6, fillKiosk });
    execFileSync("lbzip2", ["--keep", at(`${layout}.img`)]);
    const images = { "os.img.bz2": at(`${layout}.img.bz2`) };
    await makeOldDisk(at(`${layout}-old.img`), layout, images, { labels: labelsOf(layout), sizes: tinyDiskSizes });
    await using kiosk = await openFresh(layout);
    expect(await runCli(["run", "--yes", ...kiosk.arguments])).toMatchObject({ exitCode: 0, stderr: "" });
    undisturbed.set(layout, await describeDisk(kiosk, layout));
  }
});

afterAll(() => stack.disposeAsync());

function openFresh(layout: Layout): Promise<Kiosk> {
  return openKiosk({ layout, oldDisk: at(`${layout}-old.img`), list: at("list"), labels: labelsOf(layout) });
}

/** Where the image is not empty, at or behind `share` of it; the old disk holds something else there. */
function findContent(layout: Layout, share: number): { offsetBytes: number; content: Buffer } {
  const image = readFileSync(at(`${layout}.img`));
  const old = readFileSync(at(`${layout}-old.img`));
  for (let offset = Math.floor((image.length * share) / 4096) * 4096; offset < image.length; offset += 4096) {
    const content = image.subarray(offset, offset + 4096);
    if (!content.equals(Buffer.alloc(4096)) && !content.equals(old.subarray(offset, offset + 4096))) {
      return { offsetBytes: offset, content };
    }
  }
  throw new Error(`the image is empty behind ${share}`);
}

/** Waits until what lies at that share of the image has been written to the device. */
async function untilWritten(run: FollowedRun, kiosk: Kiosk, layout: Layout, share: number): Promise<void> {
  const { offsetBytes, content } = findContent(layout, share);
  await run.untilEvent(isState("partial"));
  await run.until(() => (readAt(kiosk.loop, offsetBytes, content.length).equals(content) ? true : null));
}

/** A moment to kill at, and what must then be true of the state and of the disk. */
interface Moment {
  readonly reach: (run: FollowedRun, kiosk: Kiosk, layout: Layout) => Promise<Gate | null>;
  readonly target: "untouched" | "partial";
  /** Whether the run has to save again. */
  readonly isSaved: boolean;
}

const untilEvent =
  (isWanted: Parameters<FollowedRun["untilEvent"]>[0]): Moment["reach"] =>
  async (run) => {
    await run.untilEvent(isWanted);
    return null;
  };

const moments: Record<string, Moment> = {
  "while the image is copied": { reach: untilEvent(isProgress(/copying/)), target: "untouched", isSaved: false },
  "while the image is decoded": { reach: untilEvent(isProgress(/decoding/)), target: "untouched", isSaved: false },
  "while files are saved": { reach: untilEvent(isProgress(/saving/)), target: "untouched", isSaved: false },
  "when everything is saved, before that is recorded": {
    async reach(run, kiosk) {
      await run.untilEvent((event) => event.type === "run-started");
      const gate = await closeGate(kiosk, "state.json");
      await run.untilEvent(isStage("stage-finished", "save"));
      return gate;
    },
    target: "untouched",
    isSaved: false,
  },
  "right after the disk is declared partial": {
    reach: untilEvent(isState("partial")),
    target: "partial",
    isSaved: true,
  },
  "when 30 % are written": {
    async reach(run, kiosk, layout) {
      await untilWritten(run, kiosk, layout, 0.3);
      return null;
    },
    target: "partial",
    isSaved: true,
  },
  "when 90 % are written": {
    async reach(run, kiosk, layout) {
      await untilWritten(run, kiosk, layout, 0.9);
      return null;
    },
    target: "partial",
    isSaved: true,
  },
  "when all is written, before the readback": {
    async reach(run, kiosk) {
      await run.untilEvent(isState("partial"));
      const gate = await closeGate(kiosk, "first-mib");
      await run.untilEvent(
        (e) => e.type === "progress" && e.what === "writing the image" && e.doneBytes === e.totalBytes,
      );
      return gate;
    },
    target: "partial",
    isSaved: true,
  },
  "during the readback": { reach: untilEvent(isProgress(/reading it back/)), target: "partial", isSaved: true },
  "while files are restored": { reach: untilEvent(isProgress(/restoring/)), target: "partial", isSaved: true },
  "at the commit": { reach: untilEvent(isStep(/committing/)), target: "partial", isSaved: true },
  "right after the commit, before that is recorded": {
    async reach(run, kiosk) {
      await run.untilEvent(isStage("stage-started", "restore"));
      await run.until(() => (readState(kiosk)?.restored ? true : null));
      const gate = await closeGate(kiosk, "state.json");
      await run.until(() => (readAt(kiosk.disk, 510, 2).readUInt16BE() === 0x55aa ? true : null));
      return gate;
    },
    target: "partial",
    isSaved: true,
  },
};

/** Kills a run of the kiosk at a moment. */
async function killAt(kiosk: Kiosk, layout: Layout, { reach, target }: Moment): Promise<void> {
  await using run = startRun(kiosk);
  const gate = await reach(run, kiosk, layout);
  await run.kill();
  gate?.remove();
  expect(readState(kiosk)?.target ?? "untouched").toBe(target);
  expect(existsSync(join(kiosk.workDir, "report.json"))).toBe(false); // success is not claimed ahead of the commit
}

function readState({ workDir }: Kiosk): RunState | null {
  const path = join(workDir, "state.json");
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as RunState) : null;
}

/** The run is started again and ends as if it had not been killed. */
async function expectCarriesOn(kiosk: Kiosk, layout: Layout, savedTimes: number): Promise<void> {
  const result = await runCli(["run", "--yes", ...kiosk.arguments]);
  expect(result.stdout).toMatch(/^reimage: success/m);
  expect(result).toMatchObject({ exitCode: 0, stderr: "" });
  expect(readReport(kiosk.workDir)).toMatchObject({
    outcome: "success",
    target: "complete",
    retained: { failures: [] },
  });
  const events = eventsOf(kiosk);
  expect(events.filter(isStage("stage-started", "save"))).toHaveLength(savedTimes);
  expect(events.map((event) => event.seq)).toEqual(events.map((_, i) => i + 1));
  expect(await runTestCommand(["findmnt", "--raw", "--noheadings", "--output", "TARGET"])).not.toContain(kiosk.workDir);
  const expected = undisturbed.get(layout);
  if (expected === undefined) throw new Error(layout);
  expect(await describeDisk(kiosk, layout)).toBe(expected);
}

describe.each(layouts)("%s, killed", (layout) => {
  test.each(Object.keys(moments))(
    "%s",
    async (name) => {
      const moment = moments[name];
      if (moment === undefined) throw new Error(name);
      await using kiosk = await openFresh(layout);
      const before = await kiosk.sha256();
      await killAt(kiosk, layout, moment);
      if (moment.target === "untouched") expect(await kiosk.sha256()).toBe(before);
      await expectCarriesOn(kiosk, layout, moment.isSaved ? 1 : 2);
    },
    60_000,
  );
});

test("killed three times in a row", async () => {
  await using kiosk = await openFresh("mbr");
  for (const name of ["while the image is decoded", "when 30 % are written", "while files are restored"]) {
    const moment = moments[name];
    if (moment === undefined) throw new Error(name);
    await killAt(kiosk, "mbr", moment);
  }
  await expectCarriesOn(kiosk, "mbr", 2);
});

test("killed after the commit, the disk does not boot while it is restored again", async () => {
  await using kiosk = await openFresh("gpt");
  const committed = moments["right after the commit, before that is recorded"];
  if (committed === undefined) throw new Error("no such moment");
  await killAt(kiosk, "gpt", committed);
  expect(readAt(kiosk.loop, 510, 2).readUInt16BE()).toBe(0x55aa);
  {
    await using run = startRun(kiosk);
    await run.untilEvent(isProgress(/restoring/));
    await run.kill();
  }
  expect(readAt(kiosk.loop, 0, 1 << 20).equals(Buffer.alloc(1 << 20))).toBe(true);
  expect(readAt(kiosk.loop, (tinyDiskSizes.diskMiB << 20) - 512, 8).toString()).not.toBe("EFI PART"); // its backup
  await expectCarriesOn(kiosk, "gpt", 1);
});

test("what is in memory has changed meanwhile: the disk does not become bootable", async () => {
  await using kiosk = await openFresh("mbr");
  const [restoring, copying] = [moments["while files are restored"], moments["during the readback"]];
  if (restoring === undefined || copying === undefined) throw new Error("no such moment");
  await killAt(kiosk, "mbr", restoring);
  const path = join(kiosk.workDir, "first-mib");
  const head = readFileSync(path);
  writeFileSync(path, head.with(446 + 8, 1));
  const result = await runCli(["run", "--yes", ...kiosk.arguments]);
  expect(result.exitCode).toBe(4);
  expect(readReport(kiosk.workDir)).toMatchObject({ target: "partial", code: "state" });
  expect(readAt(kiosk.loop, 0, 512).equals(Buffer.alloc(512))).toBe(true);
  writeFileSync(path, head);
  await expectCarriesOn(kiosk, "mbr", 1);
});
