/** Configurations, retention lists and machines that a run must refuse, with the old disk as it was. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { recordBytes } from "../../src/system/memory.ts";
import { readReport, runCli } from "../support/cli.ts";
import { attachLoopDevice, mountDevice, runTestCommand, temporaryDirectory } from "../support/loop-device.ts";
import { addTestPartitions, put } from "../support/make-disk.ts";
import { type Kiosk, openKiosk } from "../support/open-kiosk.ts";
import { expectRefused, type Refusal, runAfresh } from "../support/refusals.ts";
import { copySparse, type Layout, makeOldDisk, tinyDiskSizes } from "../support/small-kiosk.ts";
import { makeTinyKiosks, type TinyKiosks } from "../support/tiny-kiosks.ts";
import { fillUp, mountTmpfs } from "../support/tmpfs.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const stack = new AsyncDisposableStack();
let kiosks: TinyKiosks;
let kiosk: Kiosk;
let untouched: string;
const at = (name: string) => kiosks.at(name);
const openFresh = (layout: Layout) => kiosks.openFresh(layout);

beforeAll(async () => {
  kiosks = stack.use(await makeTinyKiosks("i"));
  kiosk = stack.use(await openFresh("mbr"));
  untouched = await kiosk.sha256();
});

afterAll(() => stack.disposeAsync());

async function expectRefusedUntouched(set: Record<string, string>, refusal: Refusal, of = kiosk, before = untouched) {
  expectRefused(of, await runAfresh(of, set), refusal);
  expect(await of.sha256()).toBe(before);
}

describe("wrong usage and configuration: exit status 2, and no run begins", () => {
  const cases: [string, string[], RegExp][] = [
    ["run without --yes", ["run"], /needs --yes[\s\S]*`reimage plan`/],
    ["an unknown option", ["run", "--yes", "--force"], /--force/],
    ["a word that is no option", ["run", "--yes", "now"], /now/],
    ["--set without a value", ["run", "--yes", "--set", "log"], /--set log: expected key=value/],
    [
      "an unknown key",
      ["run", "--yes", "--set", "target.dsk=old-root"],
      /unknown key target\.dsk; did you mean target\.disk\?/,
    ],
    [
      "a key of no value",
      ["run", "--yes", "--set", "onFailure=explode"],
      /onFailure: expected one of shell, reboot, poweroff/,
    ],
    [
      "a configuration that is not there",
      ["run", "--yes", "--config", "/nowhere.yaml"],
      /\/nowhere\.yaml is not there/,
    ],
    ["an unknown command", ["runn", "--yes"], /runn is no command/],
  ];
  test.each(cases)("%s", async (_what, words, says) => {
    rmSync(kiosk.workDir, { recursive: true, force: true });
    await mkdir(kiosk.workDir);
    const [command = "", ...rest] = words;
    const result = await runCli([command, ...kiosk.arguments, ...rest]);
    expect(result).toMatchObject({ exitCode: 2, stdout: "" });
    expect(result.stderr).toStartWith("reimage: ");
    expect(result.stderr).toContain("what to do: ");
    expect(result.stderr).toMatch(says);
    expect(readdirSync(kiosk.workDir)).toEqual([]);
    expect(await kiosk.sha256()).toBe(untouched);
  });

  test("an unknown key in the file is named with its line", async () => {
    writeFileSync(at("typo.yaml"), "image:\n  source: /os.img\ntarget:\n  disc: old-root\n");
    const result = await runCli(["run", "--yes", "--config", at("typo.yaml"), "--work", kiosk.workDir]);
    expect(result.exitCode).toBe(2);
    expect(result.stderr).toMatch(/line 4: unknown key target\.disc; did you mean target\.disk\?/);
  });
});

describe("the retention list", () => {
  test.each<[string, string, Refusal]>([
    [
      "a line that is no absolute path",
      "/etc/hostname\netc/machine-id\n",
      { code: "retention-list", says: /list:2: "etc\/machine-id" cannot be used/ },
    ],
    [
      "a required file that is not there",
      "@required /etc/hostid\n",
      { code: "required-file", says: /requires: \/etc\/hostid/ },
    ],
    ["an unknown directive", "@require /etc/hostid\n", { code: "retention-list", says: /@require is not known/ }],
    [
      "the whole old OS",
      "/\n",
      { code: "retention-list", says: /list:1: "\/" cannot be used: it is the root directory/ },
    ],
  ])("%s", async (_what, list, refusal) => {
    writeFileSync(at("bad-list"), list);
    await expectRefusedUntouched({ "retention.list": at("bad-list") }, refusal);
  });
  test("one that is not there", async () => {
    await expectRefusedUntouched(
      { "retention.list": at("no-list") },
      { code: "retention-list", says: /no-list cannot be read: .*no such file/i },
    );
  });
});

describe("memory", () => {
  /** A run whose work directory is in a memory of `sizeBytes`. */
  async function runWith(of: Kiosk, sizeBytes: number) {
    await using _memory = await mountTmpfs(sizeBytes, of.workDir);
    const result = await runCli(["run", "--yes", ...of.arguments]);
    return { result, report: readReport(of.workDir), files: readdirSync(of.workDir) };
  }

  test("that is short by little is refused with the numbers; what is not refused ends well", async () => {
    await using fresh = await openFresh("gpt");
    const before = await fresh.sha256();
    const plan = JSON.parse((await runCli(["plan", "--json", ...fresh.arguments])).stdout);
    const keptBytes = Math.ceil((plan.image.compressedSizeBytes + plan.retained.sizeBytes + recordBytes) / 4096) * 4096;
    const short = await runWith(fresh, keptBytes - 4096);
    expect(short.report).toMatchObject({ outcome: "failed", target: "untouched", code: "memory" });
    expect(String(short.report.reason)).toMatch(
      /^not enough room in .*: 19 MiB needed \(image 3 MiB, retained files 1 MiB, record 16 MiB, work \d+ MiB\), 18 MiB free$/,
    );
    expect(short.result.exitCode).toBe(3);
    expect(short.files.sort()).toEqual(["events.ndjson", "lock", "mnt", "reimage.log", "report.json", "run-id"]);
    expect(await fresh.sha256()).toBe(before);

    const enough = await runWith(fresh, keptBytes + (64 << 10)); // the run's first events take room too
    expect(enough.report).toMatchObject({ outcome: "success", target: "complete" });
    expect(enough.result.exitCode).toBe(0);
  });

  test("that is full before the run begins", async () => {
    await using memory = await mountTmpfs(64 << 10);
    fillUp(memory.dir, "ballast");
    const result = await runCli(["run", "--yes", ...kiosk.arguments, "--work", memory.dir]);
    expect(result).toMatchObject({ exitCode: 3, stderr: "" });
    expect(result.stdout).toMatch(/^reimage: failed .*not enough room in/m);
    expect(await kiosk.sha256()).toBe(untouched);
  });
});

describe("an old file system that was not unmounted is read as it is, and nothing is replayed", () => {
  test.each([
    ["ext4", tinyDiskSizes, ["dumpe2fs", "-h"], /needs_recovery/],
    ["xfs", { ...tinyDiskSizes, rootMiB: 320, diskMiB: 400 }, ["xfs_logprint", "-t"], /dirty/i],
  ] as const)(
    "%s",
    async (rootType, sizes, look, isDirty) => {
      await using directory = await temporaryDirectory();
      const [clean, dirty] = [join(directory.dir, "clean.img"), join(directory.dir, "dirty.img")];
      const labels = `d${rootType.slice(0, 1)}${process.pid}`;
      await makeOldDisk(clean, "mbr", { "os.img.bz2": at("mbr.img.bz2") }, { labels, sizes, rootType });
      {
        const loop = await attachLoopDevice(clean, { partscan: true });
        await using _detach = {
          [Symbol.asyncDispose]: async () => void (await runTestCommand(["losetup", "--detach", loop])),
        };
        await addTestPartitions(loop);
        await using root = await mountDevice(`${loop}p2`);
        for (let i = 0; i < 50; i += 1) put(root.dir, `/var/spool/file${i}`, "written before the power was cut\n");
        await runTestCommand(["sync", "--file-system", root.dir]);
        await runTestCommand(["blockdev", "--flushbufs", loop]);
        await copySparse(clean, dirty);
      }
      await using fresh = await openKiosk({ layout: "mbr", oldDisk: dirty, list: at("list"), labels });
      expect(await runTestCommand([...look, fresh.partition(2)])).toMatch(isDirty);
      const before = await fresh.sha256();
      expect(await runCli(["plan", ...fresh.arguments])).toMatchObject({ exitCode: 0, stderr: "" });
      expect(await fresh.sha256()).toBe(before);
      await expectRefusedUntouched({ "new.root": "7" }, { code: "image", says: /no partition 7/ }, fresh, before);
      expect((await runAfresh(fresh)).exitCode).toBe(0);
      expect(readReport(fresh.workDir)).toMatchObject({
        outcome: "success",
        retained: { missing: ["/etc/not-there"] },
      });
    },
    60_000,
  );
});
