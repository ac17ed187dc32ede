/** The partition tables of real tools, compared with what these tools themselves say. */
import { expect, test } from "bun:test";
import { open } from "node:fs/promises";
import { type PartitionTable, parsePartitionTable, relocateGpt } from "../../src/disk/partition-table.ts";
import { createLoopDevice, runTestCommand } from "../support/loop-device.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const sectorSizes = [512, 4096] as const;

/** Reads the table of a device, giving the parser only what it asks for. */
async function readTable(path: string, sectorSizeBytes: number): Promise<PartitionTable> {
  await using file = await open(path, "r");
  const pieces = new Map<number, Buffer>();
  for (;;) {
    const parsed = parsePartitionTable((offset, length) => {
      const piece = pieces.get(offset);
      return piece !== undefined && piece.length >= length ? piece.subarray(0, length) : null;
    }, sectorSizeBytes);
    if (parsed.kind === "none") throw new Error(parsed.reason);
    if (parsed.kind === "table") return parsed.table;
    const piece = Buffer.alloc(parsed.lengthBytes);
    await file.read(piece, 0, piece.length, parsed.offsetBytes);
    pieces.set(parsed.offsetBytes, piece);
  }
}

interface SfdiskPartition {
  readonly node: string;
  readonly start: number;
  readonly size: number;
  readonly type: string;
  readonly uuid?: string;
  readonly name?: string;
}

/** What `sfdisk --json` says, in the shape of ours. */
async function readSfdisk(path: string, sectorSizeBytes: number) {
  const { partitiontable: table } = JSON.parse(await runTestCommand(["sfdisk", "--json", path])) as {
    partitiontable: { label: string; id: string; partitions: SfdiskPartition[] };
  };
  const id = table.id.toLowerCase().replace(/^0x/, "");
  return {
    id,
    partitions: table.partitions.map((partition) => {
      const number = Number(/(\d+)$/.exec(partition.node)?.[1]);
      return {
        number,
        startBytes: partition.start * sectorSizeBytes,
        sizeBytes: partition.size * sectorSizeBytes,
        type: partition.type.toLowerCase().padStart(2, "0"),
        uuid: partition.uuid?.toLowerCase() ?? `${id}-${number.toString(16).padStart(2, "0")}`,
        name: partition.name ?? null,
      };
    }),
  };
}

async function expectSameAsSfdisk(path: string, sectorSizeBytes: number): Promise<PartitionTable> {
  const table = await readTable(path, sectorSizeBytes);
  const theirs = await readSfdisk(path, sectorSizeBytes);
  expect(table.diskId).toBe(theirs.id);
  expect(table.partitions.map(({ kind: _, ...rest }) => rest)).toEqual(theirs.partitions);
  return table;
}

for (const sector of sectorSizes) {
  const mebibytes = (count: number) => String((count * MIB) / sector);

  test(`an MBR made by sfdisk with five logical partitions, ${sector}-byte sectors`, async () => {
    await using disk = await createLoopDevice(GIB, { sectorSizeBytes: sector });
    const script = [
      "label: dos",
      `size=${mebibytes(100)}, type=83, bootable`,
      `size=${mebibytes(200)}, type=82`,
      "type=5",
      ...[60, 70, 80, 90].map((size) => `size=${mebibytes(size)}, type=83`),
      "type=8e",
    ].join("\n");
    await runTestCommand(["sfdisk", "--no-reread", disk.path], { stdin: Buffer.from(script) });
    const table = await expectSameAsSfdisk(disk.path, sector);
    expect(table.partitions.map((p) => [p.number, p.kind])).toEqual([
      [1, "primary"],
      [2, "primary"],
      [3, "extended"],
      ...[5, 6, 7, 8, 9].map((number) => [number, "logical"] as [number, "logical"]),
    ]);
  });

  test(`an MBR made by parted, ${sector}-byte sectors`, async () => {
    await using disk = await createLoopDevice(GIB, { sectorSizeBytes: sector });
    const commands =
      "mklabel msdos mkpart primary 1MiB 100MiB mkpart extended 100MiB 900MiB mkpart logical 101MiB 300MiB";
    const more = "mkpart logical 301MiB 600MiB mkpart primary 900MiB 1000MiB";
    await runTestCommand(["parted", "--script", disk.path, ...`${commands} ${more}`.split(" ")]);
    await expectSameAsSfdisk(disk.path, sector);
  });

  test(`a GPT made by sgdisk, moved to a larger disk, is whole by sgdisk's verdict, ${sector}-byte sectors`, async () => {
    await using small = await createLoopDevice(256 * MIB, { sectorSizeBytes: sector });
    const parts = [
      "-n1:0:+64M",
      "-t1:ef00",
      "-c1:EFI System",
      "-n3:0:+100M",
      "-c3:Wurzel ü & Äste",
      "-n2:0:0",
      "-t2:8200",
    ];
    await runTestCommand(["sgdisk", ...parts, small.path]);
    const table = await expectSameAsSfdisk(small.path, sector);

    await using large = await createLoopDevice(GIB + 3 * MIB + 4096, { sectorSizeBytes: sector });
    const head = Buffer.alloc(MIB);
    await using source = await open(small.path, "r");
    await source.read(head, 0, MIB, 0);
    const moved = relocateGpt(head, sector, GIB + 3 * MIB + 4096);
    const file = await open(large.path, "r+");
    await file.write(moved.head, 0, MIB, 0);
    await file.write(moved.backup, 0, moved.backup.length, moved.backupOffsetBytes);
    await file.sync();
    await file.close();

    const verdict = await runTestCommand(["sgdisk", "--verify", large.path]);
    expect(verdict).toContain("No problems found");
    expect(verdict).not.toContain("not at the end");
    expect(await runTestCommand(["sfdisk", "--verify", large.path])).toContain("No errors detected");
    expect(await expectSameAsSfdisk(large.path, sector)).toEqual(table);
    // The backup alone must do too: with the primary gone, sgdisk finds the same partitions.
    await using broken = await open(large.path, "r+");
    await broken.write(Buffer.alloc(sector), 0, sector, sector);
    await broken.sync();
    expect((await runTestCommand(["sgdisk", "--print", large.path])).match(/^ +\d+ +\d+ +\d+/gm)).toHaveLength(3);
  });
}

test("logical partitions out of disk order, as sfdisk leaves them after one is deleted and made again", async () => {
  await using disk = await createLoopDevice(GIB);
  const script = "label: dos\ntype=5\nsize=100MiB\nsize=100MiB\nsize=100MiB";
  await runTestCommand(["sfdisk", "--no-reread", disk.path], { stdin: Buffer.from(script) });
  await runTestCommand(["sfdisk", "--no-reread", "--delete", disk.path, "5"]);
  await runTestCommand(["sfdisk", "--no-reread", "--append", disk.path], {
    stdin: Buffer.from("start=4096, size=50MiB"),
  });
  const { partitions } = await expectSameAsSfdisk(disk.path, 512);
  const starts = partitions.filter((p) => p.kind === "logical").map((p) => p.startBytes);
  expect(starts).not.toEqual([...starts].sort((a, b) => a - b));
});

test("a hybrid MBR made by sgdisk keeps its GPT, and stays as it is when that moves", async () => {
  await using disk = await createLoopDevice(256 * MIB);
  await runTestCommand(["sgdisk", "-n1:0:+64M", "-n2:0:+64M", disk.path]);
  await runTestCommand(["sgdisk", "--hybrid=1", disk.path]);
  const table = await readTable(disk.path, 512);
  expect(table.type).toBe("gpt");
  expect(table.partitions.map((p) => p.number)).toEqual([1, 2]);
});

test("entries that sgdisk moved far behind the header are asked for", async () => {
  await using disk = await createLoopDevice(256 * MIB);
  await runTestCommand(["sgdisk", "--move-main-table=20000", "-n1:0:+64M", disk.path]);
  await expectSameAsSfdisk(disk.path, 512);
});
