/**
 * The whole thing, on virtual machines: real Debians in the kiosk's layouts, reimaged offline by reimage's own kernel and
 * initramfs. Six runs cover every pair of {MBR and BIOS, GPT and UEFI}, {one disk, three disks}, {SATA, NVMe, virtio}.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type DebianRun, type Machine, startDebianRun } from "../support/debian-run.ts";
import { bootTimeoutMs, checkFileSystems, mountPartition, partitionOf, reimageTimeoutMs } from "../support/kiosk-vm.ts";
import { describeRetained, retainedInKioskPartition, retainedInRoot } from "../support/retained-files.ts";

// Nehalem has neither AVX nor AVX2, as the oldest kiosks; `max` has everything.
const old = { cpu: "Nehalem" };
const large = { cpu: "max", cpus: 2 };
const machines: readonly Machine[] = [
  { table: "mbr", bus: "sata", diskCount: 1, processor: old },
  { table: "mbr", bus: "nvme", diskCount: 3, processor: large },
  { table: "mbr", bus: "virtio", diskCount: 3 },
  { table: "gpt", bus: "sata", diskCount: 3, processor: large },
  { table: "gpt", bus: "nvme", diskCount: 1 },
  { table: "gpt", bus: "virtio", diskCount: 1 },
];

const isRoot = process.getuid?.() === 0;
const needsRoot = isRoot ? "" : " (skipped: mounting the disks needs root)";
/** Two runs at a time, each in its turn. */
const timeoutMs = 2 * (reimageTimeoutMs + 2 * bootTimeoutMs);

const runs = new Map<number, DebianRun>();
/** The run of a machine; it and the next one are under way from then on. */
function runOf(index: number): DebianRun {
  for (const i of [index, index + 1]) {
    const machine = machines[i];
    if (machine !== undefined && !runs.has(i)) runs.set(i, startDebianRun(machine));
  }
  const run = runs.get(index);
  if (run === undefined) throw new Error(`there is no machine ${index}`);
  return run;
}
afterAll(async () => {
  for (const run of runs.values()) await run[Symbol.asyncDispose]();
}, timeoutMs);

for (const [index, { table, bus, diskCount }] of machines.entries()) {
  const firmware = table === "mbr" ? "BIOS" : "UEFI";
  describe(`${table.toUpperCase()} and ${firmware}, ${diskCount} disk${diskCount > 1 ? "s" : ""}, ${bus}`, () => {
    let run: DebianRun;
    beforeAll(() => {
      run = runOf(index);
    });

    test(
      "reimages offline, and says so",
      async () => {
        const { ending } = await run.reimaged;
        expect(ending).toStartWith("reimage: success");
      },
      timeoutMs,
    );

    if (diskCount === 3) {
      test("leaves the other disks as they were, byte for byte", async () => {
        const { othersBefore, othersAfter } = await run.reimaged;
        expect(othersBefore).toHaveLength(2);
        expect(othersAfter).toEqual(othersBefore);
      });
    }

    test("leaves sound file systems and the image's own boot code", async () => {
      const { disk, kiosk } = await run.reimaged;
      await checkFileSystems(disk, kiosk.layout.new.partitions);
      expect(bootCode(disk)).toEqual(bootCode(kiosk.newImage));
    });

    test.skipIf(!isRoot)(`brings every retained file back exactly${needsRoot}`, async () => {
      const { disk, kiosk } = await run.reimaged;
      const { layout, oldDisk } = kiosk;
      await using oldRoot = await mountPartition(oldDisk, partitionOf(layout.old.partitions, "root"));
      await using newRoot = await mountPartition(disk, partitionOf(layout.new.partitions, "root"));
      const paths = retainedInRoot(oldRoot.dir);
      expect(paths.length).toBeGreaterThan(35);
      const before = await describeRetained(oldRoot.dir, oldRoot.dir, newRoot.dir, paths);
      const after = await describeRetained(newRoot.dir, newRoot.dir, oldRoot.dir, paths);
      expect(after).toEqual(before);

      const inode = (name: string): number => lstatSync(join(newRoot.dir, "var/lib/kiosk/odd", name)).ino;
      expect(inode("hard-1")).toBe(inode("site-a/hard-2"));
      expect(read(newRoot.dir, "etc/kiosk/legacy.conf")).toBe("legacy=1\n"); // @move
      expect(() => read(newRoot.dir, "var/lib/kiosk/cache/thumbnails")).toThrow("ENOENT"); // @exclude
      expect(read(newRoot.dir, "var/lib/kiosk/factory-note")).toBe("made in the factory\n"); // merged
      expect(read(newRoot.dir, "etc/kiosk/defaults.conf")).toBe("defaults of the new image\n");
      expect(read(newRoot.dir, "etc/os-release")).toContain("kiosk image 2026.11");
      expect(JSON.parse(read(newRoot.dir, "etc/reimage/boot-info.json"))).toHaveProperty("image_id");

      await using oldKiosk = await mountPartition(oldDisk, partitionOf(layout.old.partitions, "kiosk"));
      await using newKiosk = await mountPartition(disk, partitionOf(layout.new.partitions, "kiosk"));
      const state = retainedInKioskPartition(oldKiosk.dir);
      expect(await describeRetained(newKiosk.dir, newRoot.dir, oldRoot.dir, state)).toEqual(
        await describeRetained(oldKiosk.dir, oldRoot.dir, newRoot.dir, state),
      );
      const report = JSON.parse(read(newKiosk.dir, "log/report.json"));
      expect(report).toMatchObject({ outcome: "success", target: "complete", retained: { missing: [], failures: [] } });
      expect(read(newKiosk.dir, "log/reimage.log")).toContain("reading it back");
    });

    test(
      "boots the new Debian to its login prompt, as the machine that it was",
      async () => {
        const console = await run.booted;
        expect(console).toContain(
          "kiosk: kiosk image 2026.11, host name kiosk-0042, machine id 5f3c0e1d2b4a49788899aabbccddee42",
        );
        expect(console).toContain("root@kiosk-0042 (ED25519)");
        expect(console).toContain("kiosk-0042 login:");
      },
      timeoutMs,
    );
  });
}

function read(root: string, path: string): string {
  return readFileSync(join(root, path), "utf8");
}

function bootCode(file: string): string {
  const BOOT_CODE_BYTES = 440; // the disk signature and the partition table follow
  return Bun.spawnSync(["head", "-c", String(BOOT_CODE_BYTES), file]).stdout.toString("hex");
}
