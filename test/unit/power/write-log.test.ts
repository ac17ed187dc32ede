import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openWriteLog, parseWriteLog } from "../../../scripts/power/write-log.ts";

/** Has QEMU itself make a log of some requests. */
function logOf(commands: readonly string[], sectorSizeBytes = 512) {
  const folder = mkdtempSync(join(tmpdir(), "reimage-log-"));
  const [disk, log] = [join(folder, "disk"), join(folder, "log")];
  for (const file of [disk, log]) writeFileSync(file, "");
  truncateSync(disk, 1 << 20);
  const node = `driver=blklogwrites,file.driver=file,file.filename=${disk},log.driver=file,log.filename=${log},log-sector-size=${sectorSizeBytes}`;
  // With qemu-io's own default every write is a FUA write.
  execFileSync("qemu-io", [
    "-t",
    "writeback",
    "-d",
    "unmap",
    "--image-opts",
    node,
    ...commands.flatMap((command) => ["-c", command]),
  ]);
  return { path: log, disk, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
}

describe("a log that QEMU made", () => {
  test("holds every request in its order, with its data", () => {
    using made = logOf([
      "write -P 0xab 4k 1k",
      "flush",
      "write -P 0xcd 8k 512",
      "write -z 64k 4k",
      "discard 128k 4k",
      "flush",
    ]);
    using log = openWriteLog(made.path);
    expect(log.sectorSizeBytes).toBe(512);
    expect(log.entries.map(({ dataOffsetBytes: _, ...entry }) => entry)).toEqual([
      { offsetBytes: 4096, lengthBytes: 1024, flush: false, fua: false, discard: false, mark: false },
      { offsetBytes: 0, lengthBytes: 0, flush: true, fua: false, discard: false, mark: false },
      { offsetBytes: 8192, lengthBytes: 512, flush: false, fua: false, discard: false, mark: false },
      { offsetBytes: 65536, lengthBytes: 4096, flush: false, fua: false, discard: false, mark: false },
      { offsetBytes: 131072, lengthBytes: 4096, flush: false, fua: false, discard: true, mark: false },
      { offsetBytes: 0, lengthBytes: 0, flush: true, fua: false, discard: false, mark: false },
    ]);
    const [first, , third, fourth, fifth] = log.entries.map((entry) => log.data(entry));
    expect(first).toEqual(Buffer.alloc(1024, 0xab));
    expect(third).toEqual(Buffer.alloc(512, 0xcd));
    expect(fourth).toEqual(Buffer.alloc(4096));
    expect(fifth).toEqual(Buffer.alloc(4096));
  });

  test("of a disk with sectors of 4096 bytes", () => {
    using made = logOf(["write -P 0xab 8k 8k", "write -P 0xcd 64k 4k", "flush"], 4096);
    using log = openWriteLog(made.path);
    expect(log.sectorSizeBytes).toBe(4096);
    expect(log.entries.map(({ offsetBytes, lengthBytes }) => [offsetBytes, lengthBytes])).toEqual([
      [8192, 8192],
      [65536, 4096],
      [0, 0],
    ]);
    expect(log.entries.map((entry) => log.data(entry)[0])).toEqual([0xab, 0xcd, undefined]);
  });

  test("written over a disk that was empty gives the disk", () => {
    using made = logOf(["write -P 1 0 64k", "write -P 2 4k 4k", "flush", "write -P 3 60k 8k", "flush"]);
    using log = openWriteLog(made.path);
    const replayed = Buffer.alloc(1 << 20);
    for (const entry of log.entries) log.data(entry).copy(replayed, entry.offsetBytes);
    expect(replayed.equals(readFileSync(made.disk))).toBe(true);
  });
});

test("a log of the kernel may hold FUA writes and marks, whose text is inside their sector", () => {
  const sector = (...values: bigint[]) => {
    const buffer = Buffer.alloc(512);
    for (const [i, value] of values.entries()) buffer.writeBigUInt64LE(value, i * 8);
    return buffer;
  };
  const content = Buffer.concat([
    sector(0x6a736677736872n, 1n, 3n, 512n),
    sector(0n, 0n, 8n, 5n),
    sector(7n, 1n, 3n, 0n),
    Buffer.alloc(512, 0xee),
    sector(9n, 1n, 2n, 0n),
    Buffer.alloc(512, 0xff),
  ]);
  const { entries } = parseWriteLog((offset, length) => content.subarray(offset, offset + length));
  expect(entries.map(({ flush, fua, mark }) => [flush, fua, mark])).toEqual([
    [false, false, true],
    [true, true, false],
    [false, true, false],
  ]);
  expect(entries.map(({ dataOffsetBytes }) => content[dataOffsetBytes])).toEqual([7, 0xee, 0xff]);
});

describe("what is no log", () => {
  const parse = (content: Buffer) => parseWriteLog((offset, length) => content.subarray(offset, offset + length));

  test("is refused", () => {
    expect(() => parse(Buffer.alloc(1024))).toThrow("no log");
    expect(() => parse(Buffer.alloc(10))).toThrow("ends at byte 10");
  });

  test("a log that was cut inside an entry is refused", () => {
    using made = logOf(["write -P 1 0 4k", "flush"]);
    const content = readFileSync(made.path);
    expect(parse(content).entries[0]?.lengthBytes).toBe(4096);
    expect(() => parse(content.subarray(0, 512 + 512 + 4096))).toThrow("inside an entry");
  });
});
