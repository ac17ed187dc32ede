/** `reimage plan` and `reimage run` on loop devices: the whole run as a developer without a VM sees it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { lstatSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readReport, runCli } from "../support/cli.ts";
import { mountDevice, runTestCommand, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { openKiosk as openKioskOf } from "../support/open-kiosk.ts";
import { identity, type Layout, makeNewImage, makeOldDisk, retentionList, sha256Of } from "../support/small-kiosk.ts";

let base: TemporaryDirectory;
const at = (name: string) => join(base.dir, name);
/** Labels of this run of the tests, so that no other disk of the machine has them. */
const labelPrefix = (layout: Layout) => `${layout}${process.pid}`;

beforeAll(async () => {
  base = await temporaryDirectory();
  for (const layout of ["mbr", "gpt"] as const) {
    await makeNewImage(at(`new-${layout}.img`), layout);
    execFileSync("lbzip2", ["--keep", at(`new-${layout}.img`)]);
    const images = { "os.img.bz2": at(`new-${layout}.img.bz2`) };
    await makeOldDisk(at(`old-${layout}.img`), layout, images, { labels: labelPrefix(layout) });
  }
  writeFileSync(at("retentionlist.txt"), retentionList);
}, 120_000);

afterAll(() => base[Symbol.asyncDispose]());

const openKiosk = (layout: Layout) =>
  openKioskOf({
    layout,
    oldDisk: at(`old-${layout}.img`),
    list: at("retentionlist.txt"),
    labels: labelPrefix(layout),
  });

describe.each(["mbr", "gpt"] as const)("%s", (layout) => {
  test("plan judges everything and changes nothing", async () => {
    await using kiosk = await openKiosk(layout);
    const before = await sha256Of(kiosk.disk);
    const result = await runCli(["plan", "--json", ...kiosk.arguments]);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    const plan = JSON.parse(result.stdout);
    expect(plan).toMatchObject({
      target: { path: kiosk.loop, sizeBytes: 256 << 20 },
      image: {
        format: "bz2",
        sizeBytes: 128 << 20,
        sha256: await sha256Of(at(`new-${layout}.img`)),
        isCopiedToMemory: true,
      },
      partitionTable: layout,
      retained: { missing: ["/etc/not-there"] },
    });
    expect(await sha256Of(kiosk.disk)).toBe(before);
  }, 60_000);

  test("run makes the disk the new system, with the identity of the old one", async () => {
    await using kiosk = await openKiosk(layout);
    const result = await runCli(["run", "--yes", ...kiosk.arguments]);
    expect(result.stderr).toBe("");
    expect(result.stdout).toMatch(/^reimage: success/m);
    expect(result.exitCode).toBe(0);
    const imageSha256 = await sha256Of(at(`new-${layout}.img`));
    expect(readReport(kiosk.workDir)).toMatchObject({
      outcome: "success",
      target: "complete",
      reason: null,
      image: { sha256: imageSha256 },
      readback: imageSha256,
      retained: { missing: ["/etc/not-there"], failures: [] },
      disk: { path: kiosk.loop },
    });
    // Nothing of the old machine stays in the work directory.
    const { runId } = readReport(kiosk.workDir);
    expect(readdirSync(kiosk.workDir).sort()).toEqual([
      "events.ndjson",
      `first-write-${runId}`,
      "lock",
      "mnt",
      "reimage.log",
      "report.json",
      "run-id",
      "savedperms",
    ]);

    await runTestCommand(["partx", "--update", kiosk.loop]);
    {
      await using root = await mountDevice(`${kiosk.loop}p2`, undefined, ["ro"]);
      await using _kiosk = await mountDevice(`${kiosk.loop}p${layout === "mbr" ? 6 : 4}`, join(root.dir, "kiosk"), [
        "ro",
      ]);
      for (const [path, content] of Object.entries(identity)) {
        expect(readFileSync(join(root.dir, path), "utf8")).toBe(content);
      }
      expect(readFileSync(join(root.dir, "etc/os-release"), "utf8")).toContain("new");
      expect(readFileSync(join(root.dir, "var/lib/kiosk/of-the-new-os"), "utf8")).toBe("stays\n");
      expect(statSync(join(root.dir, "etc/ssh/ssh_host_ed25519_key")).mode & 0o7777).toBe(0o600);
      expect(lstatSync(join(root.dir, "var/lib/kiosk/state.db"))).toMatchObject({ uid: 2000, gid: 2000 }); // by name
      expect(JSON.parse(readFileSync(join(root.dir, "etc/reimage/boot-info.json"), "utf8"))).toMatchObject({
        image_id: `sha256:${imageSha256}`,
        primary_disk: kiosk.loop,
        kernel: "/boot/vmlinuz-6.1",
        bootloaderid: "debian",
      });
      expect(readdirSync(join(root.dir, "kiosk/log")).sort()).toEqual([
        "events.ndjson",
        "reimage.log",
        "report.json",
        "savedperms",
      ]);
      expect(readFileSync(join(root.dir, "kiosk/log/savedperms"), "utf8")).toContain(
        "644\tkiosk\tkiosk\t/var/lib/kiosk/state.db\n",
      );
    }
    if (layout === "gpt")
      expect(await runTestCommand(["sgdisk", "--verify", kiosk.loop])).toContain("No problems found");
    for (const number of layout === "mbr" ? [1, 2, 5, 6] : [1, 2, 3, 4]) {
      await runTestCommand(["e2fsck", "-fn", `${kiosk.loop}p${number}`]);
    }
  }, 60_000);
});
