/** initramfs/give-back, by busybox as in the initramfs, on a file that is laid out like a disk. */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { encodeHeader, type LifeboatHeader } from "../../../src/lifeboat/header.ts";
import { bootLayout } from "../../../src/lifeboat/layout.ts";
import { formatLifeboatArgument } from "../../../src/lifeboat/note.ts";
import type { PlaceUndo } from "../../../src/lifeboat/places/place.ts";
import {
  encodeRecord,
  firstRecord,
  isOldOsWhole,
  type LifeboatRecord,
  lifeboatStates,
} from "../../../src/lifeboat/record.ts";
import { noise } from "../../support/make-disk.ts";

const MIB = 1 << 20;
const uuid = "6f2a7f0c-3c7f-4d57-9d0e-0c8c5b9a6f11";
const diskBytes = 4 * MIB;
const bootOffset = 2 * MIB;
const swapOffset = MIB + 512;
const swapPage = noise("swap", 4096);
const identity = { path: "/dev/vda", sizeBytes: diskBytes, sectorSizeBytes: 512, serial: null, wwn: null, model: null };
const gap: PlaceUndo = { kind: "gap", disk: identity } as PlaceUndo;
const swap = {
  ...{ kind: "swap", disk: identity, boot: { offsetBytes: bootOffset, sizeBytes: MIB }, bulk: [] },
  ...{ partition: { offsetBytes: swapOffset, sizeBytes: 2 * MIB }, firstPage: swapPage.toString("base64") },
  ...{ wasOn: true, priority: null },
} as PlaceUndo;

const folder = mkdtempSync(join(tmpdir(), "reimage-give-back-"));
const disk = join(folder, "disk");
afterAll(() => rmSync(folder, { recursive: true }));

interface Form {
  readonly name: string;
  readonly sectorSizeBytes: 512 | 4096;
  readonly switchOffsetBytes: number;
}
const mbr: Form = { name: "mbr", sectorSizeBytes: 512, switchOffsetBytes: 0 };
const forms: readonly Form[] = [
  mbr,
  { name: "gpt", sectorSizeBytes: 512, switchOffsetBytes: 512 },
  { name: "gpt, 4096-byte sectors", sectorSizeBytes: 4096, switchOffsetBytes: 4096 },
];
const oldHead = noise("old head", MIB);
const diskContent = noise("disk", diskBytes);

/** The disk as arming leaves it, and what the firmware finds there: another sector in the place of the old one. */
function armedDisk({ sectorSizeBytes, switchOffsetBytes }: Form, undo: PlaceUndo = gap): Buffer {
  const content = Buffer.from(diskContent);
  oldHead.copy(content);
  content.fill(0xaa, switchOffsetBytes, switchOffsetBytes + sectorSizeBytes);
  const region = { offsetBytes: 0, sizeBytes: 4096 };
  const header: LifeboatHeader = {
    ...{ uuid, version: "1", disk: { ...identity, sectorSizeBytes }, firmware: "bios", mostAttempts: 20, undo },
    ...{ boot: { offsetBytes: bootOffset, sizeBytes: 2 * MIB }, bulk: [region], oldNames: {} },
    layout: { facts: [region, region], retained: region, image: region },
    volume: { ...region, checksum: "" },
    switching: {
      ...{ form: "mbr", sectorOffsetBytes: switchOffsetBytes, entries: null },
      lifeboatSector: content.subarray(switchOffsetBytes, switchOffsetBytes + sectorSizeBytes).toString("base64"),
      oldSector: oldHead.subarray(switchOffsetBytes, switchOffsetBytes + sectorSizeBytes).toString("base64"),
    },
    oldTable: { type: "mbr", sectorSizeBytes, partitions: [], uuid: null } as unknown as LifeboatHeader["oldTable"],
    image: { name: "i", sizeBytes: 0, sha256: "" },
  };
  encodeHeader(header).copy(content, bootOffset + bootLayout.header);
  oldHead.copy(content, bootOffset + bootLayout.oldHead);
  putRecords(content, firstRecord(uuid), null);
  return content;
}

function putRecords(content: Buffer, a: LifeboatRecord | null, b: LifeboatRecord | null): void {
  for (const [index, record] of [a, b].entries()) {
    const block = record === null ? Buffer.alloc(bootLayout.recordBytes) : encodeRecord(record);
    block.copy(content, bootOffset + (bootLayout.records[index] ?? 0));
  }
}

const record = (seq: number, change: Partial<LifeboatRecord> = {}) => ({ ...firstRecord(uuid), seq, ...change });

function giveBack({ sectorSizeBytes, switchOffsetBytes }: Form, disks: readonly string[] = [disk]): number {
  const wayBack = { uuid, offsetBytes: bootOffset, sectorSizeBytes, switchOffsetBytes };
  const argument = formatLifeboatArgument(wayBack).replace("lifeboat=", "");
  const script = resolve("initramfs/give-back");
  return Bun.spawnSync(["busybox", "sh", script, argument, ...disks], { env: { PATH: process.env.PATH } }).exitCode;
}

/** Ends with `status`, and the disk is as it was. */
function expectLeft(content: Buffer, status: number, form = mbr): void {
  writeFileSync(disk, content);
  expect(giveBack(form)).toBe(status);
  expect(readFileSync(disk).equals(content)).toBe(true);
}

describe.each(forms)("$name", (form) => {
  test("the old sector comes back, and nothing else changes; once more changes nothing", () => {
    const content = armedDisk(form);
    writeFileSync(disk, content);
    for (const _ of [1, 2]) {
      expect(giveBack(form)).toBe(0);
      const expected = Buffer.from(content);
      oldHead.copy(expected, 0, 0, 2 * form.sectorSizeBytes);
      expect(readFileSync(disk).equals(expected)).toBe(true);
    }
  });

  test("a swap partition is one again", () => {
    const content = armedDisk(form, swap);
    writeFileSync(disk, content);
    expect(giveBack(form)).toBe(0);
    const expected = Buffer.from(content);
    oldHead.copy(expected, 0, 0, 2 * form.sectorSizeBytes);
    swapPage.copy(expected, swapOffset);
    expect(readFileSync(disk).equals(expected)).toBe(true);
  });
});

describe("the record", () => {
  let content: Buffer = Buffer.alloc(0);
  beforeEach(() => {
    content = armedDisk(mbr);
  });
  const both = lifeboatStates.flatMap((a) => lifeboatStates.map((b) => [a, b] as const));
  test.each(both)("%s and %s", (a, b) => {
    putRecords(content, record(7, { state: a }), record(8, { state: b }));
    const isWhole = [a, b].every(isOldOsWhole);
    if (!isWhole) return expectLeft(content, 2);
    writeFileSync(disk, content);
    expect(giveBack(mbr)).toBe(0);
  });

  test("a reason that speaks of states does not deceive", () => {
    const reason = `{"seq":1,"uuid":"${uuid}","state":"armed","attempts"`;
    putRecords(content, record(7, { state: "writing", reason }), null);
    expectLeft(content, 2);
    putRecords(content, record(7, { state: "saved", reason: '"state":"writing"' }), record(8, { state: "saved" }));
    writeFileSync(disk, content);
    expect(giveBack(mbr)).toBe(0);
  });

  test("a copy that is damaged, or another lifeboat's, may have said anything", () => {
    const at = bootOffset + bootLayout.records[1];
    content.fill(0x55, at, at + 512);
    expectLeft(content, 2);
    putRecords(content, record(7), { ...record(8), uuid: uuid.replace("6", "7") });
    expectLeft(content, 2);
    putRecords(content, null, null);
    expectLeft(content, 2);
  });

  test("the first write of a copy, torn so that its beginning is missing, says nothing", () => {
    putRecords(content, record(1), record(2, { attempts: 1, reason: "x".repeat(400) }));
    const at = bootOffset + bootLayout.records[1];
    content.fill(0, at, at + 512);
    writeFileSync(disk, content);
    expect(giveBack(mbr)).toBe(0);
  });

  test("a torn write counts by what it says", () => {
    putRecords(content, record(7, { state: "saved" }), record(8, { state: "writing", reason: "x".repeat(400) }));
    const at = bootOffset + bootLayout.records[1];
    content.fill(0, at + 512, at + 4096);
    expectLeft(content, 2);
  });
});

describe("nothing is written", () => {
  test("where the header is another one's, or none", () => {
    const content = armedDisk(mbr);
    const other = Buffer.from(content);
    other.write(uuid.replace("6", "7"), other.indexOf(uuid, bootOffset), "latin1");
    expectLeft(other, 1);
    content.write("X", bootOffset, "latin1");
    expectLeft(content, 1);
  });

  test("where the kept sector is not the one that the header has", () => {
    const content = armedDisk(mbr);
    content.write("X", bootOffset + bootLayout.oldHead + 17, "latin1");
    expectLeft(content, 1);
  });

  test("where two disks hold the lifeboat", () => {
    const content = armedDisk(mbr);
    writeFileSync(disk, content);
    const copy = `${disk}-copy`;
    copyFileSync(disk, copy);
    expect(giveBack(mbr, [disk, copy])).toBe(1);
    for (const path of [disk, copy]) expect(readFileSync(path).equals(content)).toBe(true);
    writeFileSync(copy, "");
    expect(giveBack(mbr, [copy, "/dev/none", disk])).toBe(0);
  });
});
