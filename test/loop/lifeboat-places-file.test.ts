/** The lifeboat as a file, on real file systems. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { open, rename, statfs, truncate } from "node:fs/promises";
import { join } from "node:path";
import { openBlockDevice } from "../../src/disk/block-device.ts";
import { overlapsAny } from "../../src/image/regions.ts";
import { claimPlace, type PlaceRequest, type PlaceUndo } from "../../src/lifeboat/places/claim.ts";
import { readDeviceSegments } from "../../src/lifeboat/places/device-segments.ts";
import { mapFile } from "../../src/lifeboat/places/file-mapping.ts";
import { proveAddresses } from "../../src/lifeboat/places/prove-addresses.ts";
import { totalBytes } from "../../src/lifeboat/places/region-sets.ts";
import { checkPlace, releasePlace } from "../../src/lifeboat/places/release.ts";
import { mountDevice, runTestCommand } from "../support/loop-device.ts";
import { createOldDisk, fillPlace, type OldDisk } from "../support/old-disk.ts";
import { refusalOf } from "../support/refusal-of.ts";

const MIB = 1 << 20;
const timeoutMs = 120_000;
const NAME = ".reimage-lifeboat";

/** One partition from 1 MiB to the last but one. */
async function oldRoot(type: "ext3" | "ext4" | "xfs" | "btrfs" | "ext2", sizeMiB: number, options: string[] = []) {
  const stack = new AsyncDisposableStack();
  const disk = stack.use(await createOldDisk(sizeMiB, `label: dos\nstart=1MiB, size=${sizeMiB - 2}MiB, type=83\n`));
  const quiet = type === "btrfs" ? ["-q", "-f"] : type === "xfs" ? ["-q", "-f"] : ["-q", "-F"];
  await runTestCommand([`mkfs.${type}`, ...quiet, ...options, disk.partition(1)]);
  return {
    disk,
    mount: async (...mountOptions: string[]) =>
      stack.use(await mountDevice(disk.partition(1), undefined, mountOptions)),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const freeBytes = async (dir: string) => {
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
};

/** Claims a file, fills it, seals it and keeps it, looking at each step whether all of it is where it should be. */
async function claimAndSeal(disk: OldDisk, request: PlaceRequest) {
  await using place = await claimPlace(request);
  expect(place.kind).toBe("file");
  expect(place.boot.sizeBytes).toBe(request.needs.bootBytes);
  expect(place.boot.offsetBytes % MIB).toBe(0);
  expect(totalBytes(place.bulk)).toBe(request.needs.bulkBytes);
  for (const region of [place.boot, ...place.bulk]) expect(overlapsAny(region, request.forbidden)).toBe(false);
  const filled = await fillPlace(place, disk);
  expect(await filled.check()).toBe(true);
  await place.seal();
  expect(await filled.check()).toBe(true);
  await expect(place.writeAt(Buffer.alloc(4096), place.boot.offsetBytes)).rejects.toThrow("was sealed");
  place.keep();
  return { undo: JSON.parse(JSON.stringify(place.undo)) as PlaceUndo, filled };
}

test.each([
  ["ext4", 256, 24, []],
  ["ext4", 256, 24, ["-b", "1024"]],
  ["ext3", 256, 2, []], // the blocks that tell where the others are lie between them
  ["ext2", 256, 2, []],
  ["xfs", 400, 24, []],
  ["xfs", 400, 24, ["-b", "size=1024"]],
] as const)(
  "%s of %p MiB, %p MiB in one piece, %p: claimed, filled, sealed, found by its bytes, given back",
  async (type, sizeMiB, bootMiB, options) => {
    await using old = await oldRoot(type, sizeMiB, [...options]);
    const mount = await old.mount();
    writeFileSync(join(mount.dir, "mine"), Buffer.alloc(5 * MIB, 7));
    await runTestCommand(["sync", "-f", mount.dir]);
    const before = await freeBytes(mount.dir);
    const request = await old.disk.request(60, bootMiB, 40);
    const { undo, filled } = await claimAndSeal(old.disk, request);
    // No more than what is needed is taken from the old OS.
    expect(before - (await freeBytes(mount.dir))).toBeLessThan(66 * MIB);

    expect(await checkPlace(undo)).toBeNull();
    await expect(rename(join(mount.dir, NAME), join(mount.dir, "elsewhere"))).rejects.toThrow("EPERM");
    await expect(truncate(join(mount.dir, NAME), 0)).rejects.toThrow("EPERM");
    await mount.unmount(); // the old OS is not running any more
    expect(await filled.check()).toBe(true);
    if (type === "xfs") await runTestCommand(["xfs_repair", "-n", old.disk.partition(1)]);
    else await runTestCommand([`e2fsck`, "-f", "-n", old.disk.partition(1)]);

    await expect(releasePlace(undo)).rejects.toThrow("is not mounted");
    {
      await using _again = await mountDevice(old.disk.partition(1), mount.dir);
      expect(await checkPlace(undo)).toBeNull();
      await releasePlace(undo);
      expect(readdirSync(mount.dir)).not.toContain(NAME);
    }
    await using _again = await mountDevice(old.disk.partition(1), mount.dir);
    expect(Math.abs((await freeBytes(mount.dir)) - before)).toBeLessThan(MIB);
    await releasePlace(undo); // a second time does nothing
  },
  timeoutMs,
);

test(
  "given back when it is not kept, sealed or not",
  async () => {
    await using old = await oldRoot("ext4", 256);
    const mount = await old.mount();
    for (const isSealed of [false, true]) {
      {
        await using place = await claimPlace(await old.disk.request(60, 8, 8));
        expect(existsSync(join(mount.dir, NAME))).toBe(true);
        expect(statSync(join(mount.dir, NAME)).mode & 0o777).toBe(0o600);
        if (isSealed) await place.seal();
      }
      expect(existsSync(join(mount.dir, NAME))).toBe(false);
    }
  },
  timeoutMs,
);

test(
  "a file system that begins at an odd sector: regions are whole 4 KiB all the same, and arrive there",
  async () => {
    await using disk = await createOldDisk(300, "label: dos\nstart=63, size=600000, type=83\n");
    await runTestCommand(["mkfs.ext4", "-q", "-F", disk.partition(1)]);
    await using _mount = await mountDevice(disk.partition(1));
    await using place = await claimPlace(await disk.request(100, 16, 100, "file"));
    expect(await (await fillPlace(place, disk)).check()).toBe(true);
    await place.seal();
    place.keep();
    expect(await checkPlace(place.undo)).toBeNull();
    await releasePlace(place.undo);
  },
  timeoutMs,
);

test(
  "4 KiB sectors",
  async () => {
    await using disk = await createOldDisk(300, "label: gpt\nstart=1MiB, size=298MiB\n", 4096);
    await runTestCommand(["mkfs.ext4", "-q", "-F", disk.partition(1)]);
    await using _mount = await mountDevice(disk.partition(1));
    await using place = await claimPlace(await disk.request(100, 16, 100));
    expect(place.kind).toBe("file");
    expect(await (await fillPlace(place, disk)).check()).toBe(true);
  },
  timeoutMs,
);

/** All of the file system is files of 2 MiB, and then every second one goes. */
async function fragment(old: Awaited<ReturnType<typeof oldRoot>>): Promise<string> {
  const mount = await old.mount();
  await runTestCommand(["sh", "-c", `cd ${mount.dir}; i=0; while fallocate -l 2MiB f$i 2>&-; do i=$((i+1)); done`]);
  await runTestCommand(["sh", "-c", `cd ${mount.dir}; rm -f f*[02468]`]);
  await mount.unmount(); // xfs gives back what was deleted a little later
  return (await old.mount()).dir;
}

test.each(["ext4", "xfs"] as const)(
  "%s, fragmented: in many extents",
  async (type) => {
    await using old = await oldRoot(type, 400);
    await fragment(old);
    await using place = await claimPlace(await old.disk.request(20, 1, 24, "file"));
    expect(place.bulk.length).toBeGreaterThan(1);
    const filled = await fillPlace(place, old.disk);
    await place.seal();
    expect(await filled.check()).toBe(true);
  },
  timeoutMs,
);

test.each(["ext4", "xfs"] as const)(
  "%s, fragmented: not in one piece, or not in 33, and the numbers say so; no file is left",
  async (type) => {
    await using old = await oldRoot(type, 400);
    const dir = await fragment(old);
    const before = await freeBytes(dir);
    const large = await refusalOf(old.disk.request(20, 60, 10, "file").then(claimPlace));
    expect(large.message).toMatch(
      /70\.0 MiB needed \(60\.0 MiB of it in one piece\), \d+\.\d MiB usable \(\d+\.\d MiB in one/,
    );
    if (type === "ext4") {
      const scattered = await refusalOf(old.disk.request(4, 1, 100, "file").then(claimPlace));
      expect(scattered.message).toMatch(/usable .* but not in 33 pieces/);
    }
    expect(existsSync(join(dir, NAME))).toBe(false);
    await runTestCommand(["sync", "-f", dir]);
    expect(Math.abs((await freeBytes(dir)) - before)).toBeLessThan(64 << 10);
  },
  timeoutMs,
);

test.each(["ext4", "xfs"] as const)(
  "%s, full: refused with the numbers, and the hint",
  async (type) => {
    await using old = await oldRoot(type, 400);
    const mount = await old.mount();
    const room = Math.floor((await freeBytes(mount.dir)) / MIB) - 30;
    await runTestCommand(["fallocate", "-l", `${room}MiB`, join(mount.dir, "full")]);
    const refusal = await refusalOf(old.disk.request(20, 20, 20).then(claimPlace));
    expect(refusal.code).toBe("lifeboat");
    expect(refusal.message).toMatch(/has no room for a lifeboat \(40\.0 MiB, 20\.0 MiB of it in one piece\)/);
    expect(refusal.message).toMatch(/unpartitioned space: 40\.0 MiB needed .* 0 B usable/);
    expect(refusal.message).toMatch(/swap: there is no swap partition/);
    expect(refusal.message).toMatch(/: 40\.0 MiB needed, \d+\.\d MiB free that the old OS can spare/);
    expect(refusal.hint).toContain("--accept-power-cut-risk");
    expect(existsSync(join(mount.dir, NAME))).toBe(false);
  },
  timeoutMs,
);

test.each(["ext4", "xfs"] as const)(
  "%s: an image over nearly all of the disk, and one as large as the disk",
  async (type) => {
    await using old = await oldRoot(type, 400);
    const mount = await old.mount();
    const request = await old.disk.request(360, 8, 10);
    {
      await using place = await claimPlace(request);
      for (const region of [place.boot, ...place.bulk]) expect(overlapsAny(region, request.forbidden)).toBe(false);
      expect(await (await fillPlace(place, old.disk)).check()).toBe(true);
    }
    const refusal = await refusalOf(old.disk.request(400, 8, 10).then(claimPlace));
    expect(refusal.message).toMatch(/outside of the new image: 18\.0 MiB needed .*, 0 B usable/);
    expect(readdirSync(mount.dir)).not.toContain(NAME);
  },
  timeoutMs,
);

test(
  "an image with holes: the lifeboat lies in them",
  async () => {
    await using old = await oldRoot("ext4", 256);
    await old.mount();
    const request = await old.disk.request(0, 8, 30);
    const forbidden = Array.from({ length: 16 }, (_, i) => ({ offsetBytes: i * 16 * MIB, sizeBytes: 6 * MIB }));
    await using place = await claimPlace({ ...request, forbidden });
    for (const region of [place.boot, ...place.bulk]) expect(overlapsAny(region, forbidden)).toBe(false);
    expect(place.bulk.length).toBeGreaterThan(2);
    expect(await (await fillPlace(place, old.disk)).check()).toBe(true);
  },
  timeoutMs,
);

test.each<[string, "ext4" | "btrfs", string[], string[], RegExp]>([
  ["data=journal", "ext4", [], ["data=journal"], /mounted with data=journal/],
  ["data=journal, which the superblock says alone", "ext4", ["tune2fs"], [], /mounted with data=journal/],
  ["read-only", "ext4", [], ["ro"], /mounted read-only/],
  ["btrfs", "btrfs", [], [], /\(btrfs\): btrfs writes every change to another place/],
])(
  "%s is refused with the reason",
  async (_, type, tune, mountOptions, reason) => {
    await using old = await oldRoot(type, 256);
    if (tune.length > 0) await runTestCommand(["tune2fs", "-o", "journal_data", old.disk.partition(1)]);
    const mount = await old.mount(...mountOptions);
    const refusal = await refusalOf(old.disk.request(20, 8, 8).then(claimPlace));
    expect(refusal.message).toMatch(reason);
    expect(existsSync(join(mount.dir, NAME))).toBe(false);
  },
  timeoutMs,
);

test(
  "files that are journalled one by one are refused",
  async () => {
    await using old = await oldRoot("ext4", 256);
    // As chattr +j does, which needs a capability that root may lack: new files inherit it.
    await runTestCommand(["debugfs", "-w", "-R", "set_inode_field <2> flags 0x84000", old.disk.partition(1)]);
    const mount = await old.mount();
    const refusal = await refusalOf(old.disk.request(20, 8, 8).then(claimPlace));
    expect(refusal.message).toMatch(/compressed, encrypted or journalled/);
    expect(existsSync(join(mount.dir, NAME))).toBe(false);
  },
  timeoutMs,
);

test(
  "a top directory that others may write to is refused",
  async () => {
    await using old = await oldRoot("ext4", 256);
    const mount = await old.mount();
    await runTestCommand(["chmod", "1777", mount.dir]);
    const refusal = await refusalOf(old.disk.request(20, 8, 8).then(claimPlace));
    expect(refusal.message).toMatch(/others than root may write/);
  },
  timeoutMs,
);

test(
  "what was touched after it was sealed is told",
  async () => {
    await using old = await oldRoot("ext4", 256);
    const mount = await old.mount();
    const path = join(mount.dir, NAME);
    const claim = async () => {
      await using place = await claimPlace(await old.disk.request(60, 8, 8));
      await place.seal();
      place.keep();
      return place.undo;
    };
    const undo = await claim();
    const armed = await refusalOf(old.disk.request(60, 8, 8).then(claimPlace));
    expect(armed.message).toMatch(/is there and sealed, so this machine is armed already/);
    expect(await checkPlace(undo)).toBeNull();
    await runTestCommand(["chattr", "-i", path]);
    expect(await checkPlace(undo)).toMatch(/was made mutable/);
    await truncate(path, 4 * MIB);
    await runTestCommand(["chattr", "+i", path]);
    expect(await checkPlace(undo)).toMatch(/was moved or cut off/);
    await releasePlace(undo);
    expect(await checkPlace(undo)).toMatch(/is gone/);

    const second = await claim();
    await runTestCommand(["chattr", "-i", path]);
    await runTestCommand(["cp", path, `${path}.copy`]);
    await rename(`${path}.copy`, path);
    expect(await checkPlace(second)).toMatch(/is another file now/);
    await expect(releasePlace(second)).rejects.toThrow("another file than the one");
    expect(existsSync(path)).toBe(true);
  },
  timeoutMs,
);

test(
  "a file that moves while it is filled is noticed by sync",
  async () => {
    await using old = await oldRoot("ext4", 256);
    const mount = await old.mount();
    await using place = await claimPlace(await old.disk.request(60, 8, 8));
    await place.sync();
    const path = join(mount.dir, NAME);
    // As a defragmenter does: the blocks go, and others come.
    {
      await using file = await open(path, "r+");
      const { size } = await file.stat();
      await runTestCommand(["fallocate", "--punch-hole", "-o", "0", "-l", String(size), path]);
      await runTestCommand(["fallocate", "-l", "30MiB", join(mount.dir, "thief")]);
      await file.write(Buffer.alloc(size), 0, size, 0);
      await file.sync();
    }
    await expect(place.sync()).rejects.toThrow("the file's data was moved");
  },
  timeoutMs,
);

test(
  "a file that is thought to lie where it does not is found out, by either end of any stretch",
  async () => {
    await using old = await oldRoot("ext4", 256);
    const mount = await old.mount();
    const path = join(mount.dir, "file");
    await runTestCommand(["dd", "if=/dev/zero", `of=${path}`, "bs=1M", "count=8", "conv=fsync"]);
    await using file = await open(path, "r+");
    await using raw = await openBlockDevice(old.disk.path, { write: false, exclusive: false });
    const disk = await old.disk.read();
    const device = await readDeviceSegments(disk.partitions[0]?.name ?? "", disk);
    const { segments } = mapFile(file.fd, device, false);
    expect(await proveAddresses(file, raw, segments)).toBeNull();
    const shifted = segments.map((each, i) =>
      i === segments.length - 1 ? { ...each, toBytes: each.toBytes + 4096 } : each,
    );
    expect(await proveAddresses(file, raw, shifted)).toMatch(/does not arrive at its address, byte \d+ of the disk/);
    const [first] = segments;
    const longer = [{ fromBytes: 0, toBytes: first?.toBytes ?? 0, sizeBytes: 256 * MIB - (first?.toBytes ?? 0) }];
    expect(await proveAddresses(file, raw, longer)).toMatch(/does not arrive/);
  },
  timeoutMs,
);

test(
  "another file system on the same mount point is not taken for the old one",
  async () => {
    await using disk = await createOldDisk(200, "label: dos\nstart=1MiB, size=100MiB\nstart=101MiB, size=98MiB\n");
    await runTestCommand(["mkfs.ext4", "-q", "-F", disk.partition(1)]);
    await runTestCommand(["mkfs.ext4", "-q", "-F", disk.partition(2)]);
    await using first = await mountDevice(disk.partition(1));
    await using place = await claimPlace(await disk.request(20, 8, 8, "file"));
    await place.seal();
    place.keep();
    await using _over = await mountDevice(disk.partition(2), first.dir);
    await expect(checkPlace(place.undo)).rejects.toThrow("is not mounted on");
    await expect(releasePlace(place.undo)).rejects.toThrow("is not mounted on");
  },
  timeoutMs,
);
