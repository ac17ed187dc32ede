/** The new root by every name that the configuration allows; one run at a time; a run that is over is over. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { readReport, runCli } from "../support/cli.ts";
import { closeGate, isStage, startRun } from "../support/following.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { type Kiosk, openKiosk } from "../support/open-kiosk.ts";
import { eventsOf } from "../support/refusals.ts";
import { makeNewImage, makeOldDisk, retentionList } from "../support/small-kiosk.ts";

let base: TemporaryDirectory;
const at = (name: string) => join(base.dir, name);
const labels = `n${process.pid}`; // at most 16 characters with what follows

beforeAll(async () => {
  base = await temporaryDirectory();
  await makeNewImage(at("new.img"), "gpt");
  execFileSync("lbzip2", ["--keep", at("new.img")]);
  await makeOldDisk(at("old.img"), "gpt", { "os.img.bz2": at("new.img.bz2") }, { labels });
  writeFileSync(at("list"), retentionList);
}, 120_000);
afterAll(() => base[Symbol.asyncDispose]());

const openFresh = (): Promise<Kiosk> => openKiosk({ layout: "gpt", oldDisk: at("old.img"), list: at("list"), labels });

/** What blkid says of a partition of the image by its table. */
function tableEntry(number: number, name: "uuid" | "name"): string {
  const dump = JSON.parse(execFileSync("sfdisk", ["--json", at("new.img")], { encoding: "utf8" }));
  return dump.partitiontable.partitions[number - 1][name];
}

test.each([
  ["PARTUUID", () => `PARTUUID=${tableEntry(2, "uuid").toLowerCase()}`],
  ["PARTUUID in upper case", () => `PARTUUID=${tableEntry(2, "uuid").toUpperCase()}`],
  ["PARTLABEL", () => `PARTLABEL=${tableEntry(2, "name")}`],
  ["LABEL", () => "LABEL=root"],
])(
  "the new root by %s",
  async (_what, spec) => {
    await using kiosk = await openFresh();
    const result = await runCli(["run", "--yes", ...kiosk.arguments, "--set", `new.root=${spec()}`]);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expect(readReport(kiosk.workDir)).toMatchObject({ outcome: "success", retained: { failures: [] } });
  },
  60_000,
);

test("an old root that is none is refused, and so is a list of which nothing is there", async () => {
  await using kiosk = await openFresh();
  const before = await kiosk.sha256();
  const root = await runCli(["run", "--yes", ...kiosk.arguments, "--set", `old.root=LABEL=${labels}data`]);
  expect(root.exitCode).toBe(3);
  expect(root.stdout).toMatch(/^reimage: failed.*has no \/etc/m);
  writeFileSync(at("nothing"), "/nowhere\n/none/of/these\n");
  const list = await runCli(["run", "--yes", ...kiosk.arguments, "--set", `retention.list=${at("nothing")}`]);
  expect(list.exitCode).toBe(3);
  expect(list.stdout).toMatch(/^reimage: failed.*nothing in the old OS .* matches the retention list/m);
  expect(await kiosk.sha256()).toBe(before);
}, 60_000);

test("a new root that is none ends partial, and the run carries on once the configuration is corrected", async () => {
  await using kiosk = await openFresh();
  const wrong = await runCli(["run", "--yes", ...kiosk.arguments, "--set", "new.root=3"]);
  expect(wrong.exitCode).toBe(4);
  expect(wrong.stdout).toMatch(/^reimage: failed.*\(new\.root: 3\) has no \/etc.*does not boot/m);
  const right = await runCli(["run", "--yes", ...kiosk.arguments]);
  expect(right).toMatchObject({ exitCode: 0, stderr: "" });
  const stages = eventsOf(kiosk).flatMap((event) => (event.type === "stage-started" ? [event.stage] : []));
  expect(stages).toEqual(["save", "write", "restore", "restore"]);
}, 60_000);

test("a second run with the same work directory is refused and disturbs nothing", async () => {
  await using kiosk = await openFresh();
  await using first = startRun(kiosk);
  await first.untilEvent(isStage("stage-started", "save"));
  const second = await runCli(["run", "--yes", ...kiosk.arguments]);
  expect(second.exitCode).toBe(3);
  expect(second.stderr).toContain("another reimage is running");
  expect((await first.finished).exitCode).toBe(0);
}, 60_000);

test("a run that was killed between the commit and its last word is not run again", async () => {
  await using kiosk = await openFresh();
  const gate = await closeGate(kiosk, "report.json"); // where the report of the success is written
  {
    await using run = startRun(kiosk);
    await run.untilEvent(isStage("stage-finished", "restore"));
    await run.kill();
  }
  gate.remove();
  const again = await runCli(["run", "--yes", ...kiosk.arguments]);
  expect(again).toMatchObject({ exitCode: 0, stderr: "" });
  expect(again.stdout).toMatch(/^reimage: success/m);
  expect(readReport(kiosk.workDir)).toMatchObject({
    outcome: "success",
    target: "complete",
    retained: { missing: ["/etc/not-there"], failures: [] },
  });
  const stages = eventsOf(kiosk).flatMap((event) => (event.type === "stage-started" ? [event.stage] : []));
  expect(stages).toEqual(["save", "write", "restore"]); // none of them a second time
}, 60_000);
