/** The lifeboat in unpartitioned space and in swap partitions, on real disks; and which of them comes first. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openBlockDevice } from "../../src/disk/block-device.ts";
import { changePartition } from "../../src/disk/block-ioctls.ts";
import { claimPlace, type PlaceUndo } from "../../src/lifeboat/places/claim.ts";
import type { ClaimedPlace } from "../../src/lifeboat/places/place.ts";
import { checkPlace, releasePlace } from "../../src/lifeboat/places/release.ts";
import { parseSwapAreas } from "../../src/lifeboat/places/swap-area.ts";
import { makeFileSystem, mountDevice, runTestCommand } from "../support/loop-device.ts";
import { createOldDisk, fillPlace, type OldDisk, readRaw } from "../support/old-disk.ts";
import { refusalOf } from "../support/refusal-of.ts";

const MIB = 1 << 20;
const timeoutMs = 60_000;

const swapped = (path: string) =>
  parseSwapAreas(readFileSync("/proc/swaps", "utf8")).find((area) => area.path === path);
const storedUndo = (place: ClaimedPlace): PlaceUndo => JSON.parse(JSON.stringify(place.undo));

/** Root of 40 MiB, 20 MiB of nothing, swap of 60 MiB, and nothing up to the end. */
const layout = (label: string, swapType: string) =>
  `label: ${label}\nstart=1MiB, size=40MiB\nstart=61MiB, size=60MiB, type=${swapType}\n`;
const swapGuid = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F";

/** With swap on partition 2, which is switched off in the end, whoever switched it on. */
async function swapDisk(table: "dos" | "gpt" = "dos", sectorSizeBytes = 512): Promise<OldDisk> {
  const disk = await createOldDisk(122, layout(table, table === "dos" ? "82" : swapGuid), sectorSizeBytes);
  await makeFileSystem(disk.partition(2), "swap", { label: "old-swap" });
  return {
    ...disk,
    async [Symbol.asyncDispose]() {
      if (swapped(disk.partition(2))) await runTestCommand(["swapoff", disk.partition(2)]);
      await disk[Symbol.asyncDispose]();
    },
  };
}

test.each([
  ["dos", 512],
  ["gpt", 512],
  ["gpt", 4096],
] as const)(
  "a gap in a %s table, sectors of %p, with its neighbours mounted: they are not touched",
  async (table, sector) => {
    await using disk = await createOldDisk(160, layout(table, table === "dos" ? "83" : "L"), sector);
    await makeFileSystem(disk.partition(1), "ext4");
    await makeFileSystem(disk.partition(2), "ext4");
    const outside = [
      { offsetBytes: 0, sizeBytes: 41 * MIB },
      { offsetBytes: 61 * MIB, sizeBytes: 60 * MIB },
      { offsetBytes: 159 * MIB, sizeBytes: MIB },
    ];
    const read = () => Promise.all(outside.map((region) => readRaw(disk.path, region)));
    {
      await using _one = await mountDevice(disk.partition(1));
      await using _two = await mountDevice(disk.partition(2));
      await runTestCommand(["sync"]);
      const before = await read();
      await using place = await claimPlace(await disk.request(45, 10, 30));
      expect(place.kind).toBe("gap");
      expect([place.boot, ...place.bulk]).toEqual([
        { offsetBytes: 45 * MIB, sizeBytes: 10 * MIB },
        { offsetBytes: 121 * MIB, sizeBytes: 30 * MIB },
      ]);
      expect(await (await fillPlace(place, disk)).check()).toBe(true);
      await place.seal();
      expect((await read()).every((content, i) => content.equals(before[i] as Buffer))).toBe(true);
      for (const offset of [44 * MIB, 61 * MIB, 151 * MIB, place.boot.offsetBytes + 512]) {
        await expect(place.writeAt(Buffer.alloc(4096), offset)).rejects.toThrow("no whole part of the lifeboat");
      }
      place.keep();
      const undo = storedUndo(place);
      expect(await checkPlace(undo)).toBeNull();
      await releasePlace(undo);
    }
  },
  timeoutMs,
);

test(
  "a partition that is made over a gap is told",
  async () => {
    await using disk = await createOldDisk(160, layout("dos", "83"));
    await using place = await claimPlace(await disk.request(45, 10, 10, "gap"));
    await using device = await openBlockDevice(disk.path, { write: true, exclusive: false });
    changePartition(device.fd, "add", { number: 3, startBytes: place.boot.offsetBytes + MIB, sizeBytes: MIB });
    expect(await checkPlace(place.undo)).toMatch(/the partition .*p3 was made where the lifeboat lies/);
  },
  timeoutMs,
);

test(
  "a gap that begins with a deleted partition is left alone",
  async () => {
    await using disk = await createOldDisk(160, `${layout("dos", "83")}start=121MiB, size=38MiB, type=83\n`);
    await makeFileSystem(disk.partition(3), "ext4");
    await runTestCommand(["sfdisk", "--no-reread", "--no-tell-kernel", "--delete", disk.path, "3"]);
    await runTestCommand(["partx", "--delete", "--nr", "3", disk.path]);
    const table = { ...disk.table, partitions: disk.table.partitions.filter(({ number }) => number !== 3) };
    const wants = { ...(await disk.request(45, 10, 10, "gap")), table };
    const refusal = await refusalOf(claimPlace(wants));
    expect(refusal.message).toMatch(/unpartitioned space: 20\.0 MiB needed .* 16\.0 MiB usable/);
    expect(refusal.message).toMatch(/from byte 126877696: a deleted partition \(ext4\)/);
    await runTestCommand([
      "dd",
      "if=/dev/zero",
      `of=${disk.path}`,
      "bs=1M",
      "seek=121",
      "count=1",
      "conv=notrunc,fsync",
    ]);
    await using place = await claimPlace(wants);
    expect(place.kind).toBe("gap");
  },
  timeoutMs,
);

test.each([
  ["dos", 512, 7],
  ["gpt", 512, null],
  ["gpt", 4096, null],
] as const)(
  "swap in use, %s, sectors of %p, priority %p: taken over, and used again as before",
  async (table, sector, priority) => {
    await using disk = await swapDisk(table, sector);
    const path = disk.partition(2);
    await runTestCommand(["swapon", ...(priority === null ? [] : ["-p", String(priority)]), path]);
    const firstPage = { offsetBytes: 61 * MIB, sizeBytes: 4096 };
    const before = await readRaw(disk.path, firstPage);
    let undo: PlaceUndo;
    {
      await using place = await claimPlace(await disk.request(50, 20, 30));
      expect(place.kind).toBe("swap");
      expect(place.boot).toEqual({ offsetBytes: 62 * MIB, sizeBytes: 20 * MIB });
      expect(swapped(path)).toBeUndefined();
      await expect(runTestCommand(["swapon", path])).rejects.toThrow("busy");
      const filled = await fillPlace(place, disk);
      expect(await readRaw(disk.path, firstPage)).toEqual(before); // a power cut now leaves swap space
      await place.seal();
      expect(await readRaw(disk.path, firstPage)).toEqual(Buffer.alloc(4096));
      expect(await filled.check()).toBe(true);
      place.keep();
      undo = storedUndo(place);
    }
    expect(await checkPlace(undo)).toBeNull();
    await expect(runTestCommand(["swapon", path])).rejects.toThrow("swapon");
    await releasePlace(undo);
    expect(await readRaw(disk.path, firstPage)).toEqual(before);
    expect(swapped(path)?.priority).toBe(priority ?? (swapped(path)?.priority as number));
    expect(swapped(path)).toBeDefined();
    expect(await checkPlace(undo)).toMatch(/in use as swap space again/);
    await releasePlace(undo);
  },
  timeoutMs,
);

test.each([true, false])(
  "swap is as before where it is not kept (sealed: %p)",
  async (isSealed) => {
    await using disk = await swapDisk();
    await runTestCommand(["swapon", "-p", "3", disk.partition(2)]);
    {
      await using place = await claimPlace(await disk.request(50, 20, 30, "swap"));
      if (isSealed) await place.seal();
    }
    expect(swapped(disk.partition(2))?.priority).toBe(3);
  },
  timeoutMs,
);

test(
  "swap that was not in use is not switched on",
  async () => {
    await using disk = await swapDisk();
    {
      await using place = await claimPlace(await disk.request(50, 20, 30, "swap"));
      await place.seal();
    }
    expect(swapped(disk.partition(2))).toBeUndefined();
    await runTestCommand(["swapon", disk.partition(2)]);
  },
  timeoutMs,
);

test.each([true, false])(
  "in the lifeboat: swap space again, and not switched on (the kernel knows the partition: %p)",
  async (isKnown) => {
    await using disk = await swapDisk();
    const path = disk.partition(2);
    await runTestCommand(["swapon", path]);
    let undo: PlaceUndo;
    {
      await using place = await claimPlace(await disk.request(50, 20, 30, "swap"));
      await place.seal();
      place.keep();
      undo = storedUndo(place);
    }
    if (!isKnown) {
      await runTestCommand(["partx", "--delete", "--nr", "2", disk.path]);
      expect(await checkPlace(undo)).toMatch(/no partition any more/);
    }
    await releasePlace(undo, false);
    if (!isKnown) await runTestCommand(["partx", "--add", "--nr", "2", disk.path]);
    expect(swapped(path)).toBeUndefined();
    await runTestCommand(["swapon", path]);
  },
  timeoutMs,
);

test(
  "a wiping or a writing back that was torn is mended; what somebody else has put there is left alone",
  async () => {
    await using disk = await swapDisk();
    const first = { offsetBytes: 61 * MIB, sizeBytes: 4096 };
    const before = await readRaw(disk.path, first);
    let undo: PlaceUndo;
    {
      await using place = await claimPlace(await disk.request(50, 20, 30, "swap"));
      await place.seal();
      place.keep();
      undo = storedUndo(place);
    }
    await using device = await openBlockDevice(disk.partition(2), { write: true, exclusive: false });
    await device.writeAt(before.subarray(512, 2048), 512);
    await device.sync();
    await releasePlace(undo);
    expect(await readRaw(disk.path, first)).toEqual(before);
    await device.writeAt(Buffer.alloc(512, 1), 1024);
    await device.sync();
    await expect(releasePlace(undo)).rejects.toThrow("holds something else now");
    expect(await checkPlace(undo)).toMatch(/is not as it was left/);
  },
  timeoutMs,
);

test.each<[string, (disk: OldDisk) => Promise<void>, RegExp]>([
  ["a hibernated machine", (disk) => writeFirstPage(disk, Buffer.from("S1SUSPEND\0"), 4086), /hibernation/],
  ["no swap after all", (disk) => writeFirstPage(disk, Buffer.alloc(4096), 0), /no swap signature/],
])(
  "%s is refused with the reason",
  async (_, change, reason) => {
    await using disk = await swapDisk();
    await change(disk);
    const before = await readRaw(disk.path, { offsetBytes: 61 * MIB, sizeBytes: 60 * MIB });
    const refusal = await refusalOf(disk.request(50, 20, 30, "swap").then(claimPlace));
    expect(refusal.message).toMatch(reason);
    expect((await readRaw(disk.path, { offsetBytes: 61 * MIB, sizeBytes: 60 * MIB })).equals(before)).toBe(true);
  },
  timeoutMs,
);

async function writeFirstPage(disk: OldDisk, data: Buffer, offsetBytes: number): Promise<void> {
  await using device = await openBlockDevice(disk.partition(2), { write: true, exclusive: false });
  await device.writeAt(data, offsetBytes);
  await device.sync();
}

test(
  "swap that something else is made of is refused, and so is what the image writes",
  async () => {
    await using disk = await swapDisk();
    await runTestCommand(["swapon", disk.partition(2)]);
    const refusal = await refusalOf(disk.request(100, 20, 30, "swap").then(claimPlace));
    expect(refusal.message).toMatch(/swap partition .*p2: 50\.0 MiB needed .* 21\.0 MiB usable/);
    expect(swapped(disk.partition(2))).toBeDefined(); // was not even switched off
  },
  timeoutMs,
);

test(
  "a gap comes before swap, and swap before a file; the operator may choose",
  async () => {
    await using disk = await createOldDisk(
      460,
      `label: dos\nstart=1MiB, size=40MiB\nstart=61MiB, size=60MiB, type=82\nstart=121MiB, size=300MiB\n`,
    );
    await makeFileSystem(disk.partition(2), "swap");
    await makeFileSystem(disk.partition(3), "ext4");
    await using mount = await mountDevice(disk.partition(3));
    const kindOf = async (bootMiB: number, bulkMiB: number, only?: "gap" | "swap" | "file") => {
      await using place = await claimPlace(await disk.request(20, bootMiB, bulkMiB, only));
      await place.sync();
      return place.kind;
    };
    expect(await kindOf(10, 20)).toBe("gap");
    expect(await kindOf(45, 10)).toBe("swap");
    expect(await kindOf(45, 40)).toBe("file");
    expect(await kindOf(10, 20, "file")).toBe("file");
    expect(existsSync(join(mount.dir, ".reimage-lifeboat"))).toBe(false);
  },
  timeoutMs,
);
