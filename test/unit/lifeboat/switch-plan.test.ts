import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ReimageError } from "../../../src/errors.ts";
import { currentBoot } from "../../../src/lifeboat/switch/current-boot.ts";
import { lifeboatBackupTable, mbrFormSector, planSwitch } from "../../../src/lifeboat/switch/plan.ts";
import { mbrPartitions, uefiPartitions } from "../../support/model-firmware.ts";
import { gptHead, mbrSector, signHeader } from "../disk/make-tables.ts";
import {
  apply,
  bootCode,
  bootVolume,
  diskSizeBytes,
  entriesOffsetBytes,
  headOf,
  lifeboatUuid,
  MiB,
  oldDisk,
  requestOf,
  uuidOf,
} from "./switch-disk.ts";

const espType = "28732ac11ff8d211ba4b00a0c93ec93b";
const volumeRange = { startBytes: bootVolume.offsetBytes, sizeBytes: bootVolume.sizeBytes };

function reasonOf(attempt: () => unknown): string {
  try {
    attempt();
  } catch (error) {
    if (!(error instanceof ReimageError)) throw error;
    expect(error.code).toBe("lifeboat");
    expect(error.hint).toContain("--accept-power-cut-risk");
    return error.message;
  }
  return "accepted";
}

for (const table of ["mbr", "gpt"] as const) {
  test(`BIOS, ${table}: boot code and one active entry in the first sector, nothing else`, () => {
    const request = requestOf(table, 512, { firmware: "bios" });
    const { disk, plan } = oldDisk(request);
    expect(plan).toMatchObject({ form: "mbr", sectorOffsetBytes: 0, entries: null });
    expect(plan.oldSector.equals(request.oldHead.subarray(0, 512))).toBe(true);
    const { lifeboatSector } = plan;
    expect(lifeboatSector.length).toBe(512);
    expect(lifeboatSector.subarray(0, 440).equals(bootCode)).toBe(true);
    expect(lifeboatSector.subarray(440, 446).equals(request.oldHead.subarray(440, 446))).toBe(true);
    apply(disk, { offsetBytes: 0, data: lifeboatSector });
    expect(mbrPartitions(disk, 512)).toEqual([{ number: 1, ...volumeRange, type: "0c", uuid: "" }]);
    expect(lifeboatSector.readUInt8(446)).toBe(0x80);
    expect(lifeboatSector.readUInt16LE(510)).toBe(0xaa55);
  });
}

test("an entry is, byte for byte, the one that sfdisk writes", () => {
  const directory = mkdtempSync(join(tmpdir(), "reimage-switch-"));
  try {
    for (const offsetMiB of [1, 100, 7000, 8064, 8065, 20_000]) {
      const volume = { offsetBytes: offsetMiB * MiB, sizeBytes: 40 * MiB };
      const { lifeboatSector } = planSwitch(requestOf("mbr", 512, { bootVolume: volume, diskSizeBytes: 2 ** 40 }));
      const disk = join(directory, `${offsetMiB}`);
      writeFileSync(disk, "");
      truncateSync(disk, 2 ** 35);
      const table = `label: dos\nstart=${offsetMiB}MiB, size=40MiB, type=c, bootable\n`;
      const result = spawnSync("/sbin/sfdisk", ["--quiet", disk], { input: table, encoding: "utf8" });
      if (result.status !== 0) throw new Error(`sfdisk: ${result.stderr}${result.error ?? ""}`);
      const sector = Buffer.alloc(512);
      const file = openSync(disk, "r");
      readSync(file, sector, 0, 512, 0);
      closeSync(file);
      expect(lifeboatSector.toString("hex", 446)).toBe(sector.toString("hex", 446));
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

for (const sector of [512, 4096] as const) {
  test(`UEFI, MBR, ${sector}: one EFI entry where the old one was, not protective`, () => {
    const { disk, plan } = oldDisk(requestOf("mbr", sector, { firmware: "uefi" }));
    expect(plan).toMatchObject({ form: "mbr", sectorOffsetBytes: 0 });
    expect(plan.lifeboatSector.length).toBe(sector);
    apply(disk, { offsetBytes: 0, data: plan.lifeboatSector });
    expect(uefiPartitions(disk, sector)).toEqual([{ number: 2, ...volumeRange, type: "ef", uuid: "" }]);
    expect(plan.lifeboatSector.subarray(0, 440).every((byte) => byte === 0)).toBe(true);
  });

  test(`UEFI, GPT, ${sector}: one sector makes firmware find the boot volume alone, by number and PARTUUID of the old ESP`, () => {
    const { disk, plan } = oldDisk(requestOf("gpt", sector));
    const before = Buffer.from(disk);
    expect(uefiPartitions(disk, sector).map(({ number }) => number)).toEqual([2, 5]);
    expect(plan).toMatchObject({ form: "gpt", sectorOffsetBytes: sector });
    expect(plan.lifeboatSector.subarray(512).every((byte) => byte === 0)).toBe(true);
    apply(disk, { offsetBytes: sector, data: plan.lifeboatSector });
    const armed = Buffer.from(disk);
    expect(uefiPartitions(disk, sector)).toEqual([
      { number: 2, ...volumeRange, type: espType, uuid: uuidOf(2).replaceAll("-", "") },
    ]);
    expect(disk.equals(armed)).toBe(true); // nothing to repair
    expect(currentBoot(disk, plan)).toBe("lifeboat");
    apply(disk, { offsetBytes: sector, data: plan.oldSector });
    expect(disk.equals(before)).toBe(true);
    expect(currentBoot(disk, plan)).toBe("old");
  });

  test(`UEFI, GPT, ${sector}: a damaged primary is repaired to what its backup is`, () => {
    const { disk, plan } = oldDisk(requestOf("gpt", sector));
    const before = Buffer.from(disk);
    disk.fill(0, sector, 2 * sector);
    expect(currentBoot(disk, plan)).toBe("foreign");
    expect(uefiPartitions(disk, sector).length).toBe(2);
    expect(disk.equals(before)).toBe(true);
    expect(currentBoot(disk, plan)).toBe("old");

    const backup = lifeboatBackupTable(plan);
    if (backup === null) throw new Error("no backup");
    expect(backup.offsetBytes + backup.data.length).toBe(diskSizeBytes);
    apply(disk, backup);
    apply(disk, { offsetBytes: sector, data: plan.lifeboatSector });
    const written = Buffer.from(disk);
    uefiPartitions(disk, sector);
    expect(disk.equals(written)).toBe(true);
    disk.fill(0, sector, 2 * sector);
    expect(uefiPartitions(disk, sector)).toMatchObject([volumeRange]);
    expect(currentBoot(disk, plan)).toBe("lifeboat"); // its entries are elsewhere now
    // And the other way round: the backup that firmware writes is the one that we would have written.
    disk.fill(0, backup.offsetBytes);
    apply(disk, { offsetBytes: sector, data: plan.lifeboatSector });
    uefiPartitions(disk, sector);
    expect(disk.subarray(backup.offsetBytes).equals(backup.data)).toBe(true);
  });
}

test("an old table that was made for a smaller disk: the backup goes to the end nevertheless", () => {
  const partitions = [{ slot: 1, firstLba: 2048, lastLba: 4095 }];
  const oldHead = gptHead(partitions, { sector: 512, diskSectors: 6000 });
  const { disk, plan } = oldDisk(requestOf("gpt", 512, { oldHead, espUuid: uuidOf(1) }));
  apply(disk, { offsetBytes: 512, data: plan.lifeboatSector });
  const armed = Buffer.from(disk);
  disk.fill(0, diskSizeBytes - 33 * 512);
  expect(uefiPartitions(disk, 512)).toMatchObject([volumeRange]);
  expect(disk.subarray(0, diskSizeBytes - 33 * 512).equals(armed.subarray(0, diskSizeBytes - 33 * 512))).toBe(true);
});

test("without an ESP on the disk the boot volume has a PARTUUID of its own", () => {
  const { disk, plan } = oldDisk(requestOf("gpt", 512, { espUuid: null }));
  apply(disk, { offsetBytes: 512, data: plan.lifeboatSector });
  expect(uefiPartitions(disk, 512)).toMatchObject([{ number: 1, uuid: "67452301ab89efcd0123456789abcdef" }]);
  expect(lifeboatUuid).toStartWith("01234567-");
});

test("an ESP is found whatever the case of its PARTUUID", () => {
  const head = headOf("gpt", 512);
  const upper = planSwitch(requestOf("gpt", 512, { oldHead: head, espUuid: uuidOf(2).toUpperCase() }));
  expect(upper).toEqual(planSwitch(requestOf("gpt", 512)));
});

test("entries that are not the ones of the header make no backup", () => {
  const plan = planSwitch(requestOf("gpt", 512));
  const entries = Buffer.from(plan.entries ?? "");
  entries.writeUInt8(1, 200);
  expect(() => lifeboatBackupTable({ ...plan, entries })).toThrow("not the ones that were put there");
  expect(lifeboatBackupTable({ ...plan, entries: null })).toBeNull();
});

test("from GPT to MBR: the volume as an EFI partition, and no GPT counts any more", () => {
  const { disk, plan } = oldDisk(requestOf("gpt", 512));
  apply(disk, { offsetBytes: 512, data: plan.lifeboatSector });
  apply(disk, { offsetBytes: 0, data: mbrFormSector({ volume: bootVolume, sectorSizeBytes: 512 }) });
  expect(uefiPartitions(disk, 512)).toEqual([{ number: 1, ...volumeRange, type: "ef", uuid: "" }]);
  expect(currentBoot(disk, plan)).toBe("lifeboat");
});

test("what somebody else wrote is neither", () => {
  const bios = oldDisk(requestOf("mbr", 512));
  expect(currentBoot(bios.disk, bios.plan)).toBe("old");
  apply(bios.disk, { offsetBytes: 0, data: bios.plan.lifeboatSector });
  expect(currentBoot(bios.disk, bios.plan)).toBe("lifeboat");
  bios.disk.writeUInt8(0, 5); // other boot code
  expect(currentBoot(bios.disk, bios.plan)).toBe("foreign");

  const uefi = oldDisk(requestOf("gpt", 512));
  apply(uefi.disk, { offsetBytes: 0, data: headOf("mbr", 512).subarray(0, 512) });
  expect(currentBoot(uefi.disk, uefi.plan)).toBe("foreign");
  apply(uefi.disk, { offsetBytes: 0, data: Buffer.alloc(512) });
  expect(currentBoot(uefi.disk, uefi.plan)).toBe("foreign");
  const other = gptHead([{ slot: 2, firstLba: 2048, lastLba: 2050 }], {
    sector: 512,
    diskSectors: diskSizeBytes / 512,
  });
  apply(uefi.disk, { offsetBytes: 0, data: other });
  expect(currentBoot(uefi.disk, uefi.plan)).toBe("foreign");
  const namesake = headOf("gpt", 512);
  namesake.fill(0x55, 512 + 56, 512 + 72); // the same partitions on a disk of another GUID
  signHeader(namesake, 512);
  apply(uefi.disk, { offsetBytes: 0, data: namesake });
  expect(currentBoot(uefi.disk, uefi.plan)).toBe("foreign");
  const unsigned = headOf("gpt", 512);
  unsigned.writeUInt16BE(0, 510);
  apply(uefi.disk, { offsetBytes: 0, data: unsigned });
  expect(currentBoot(uefi.disk, uefi.plan)).toBe("foreign");
  const two = mbrFormSector({ volume: bootVolume, sectorSizeBytes: 512 });
  two.copy(two, 446 + 16, 446, 446 + 16);
  apply(uefi.disk, { offsetBytes: 0, data: two });
  expect(currentBoot(uefi.disk, uefi.plan)).toBe("foreign");
});

test("refused before anything is touched", () => {
  const reason = (change: Parameters<typeof requestOf>[2], table: "mbr" | "gpt" = "gpt", sector: 512 | 4096 = 512) =>
    reasonOf(() => planSwitch(requestOf(table, sector, change)));
  expect(reason({ firmware: "bios" }, "mbr", 4096)).toContain("a BIOS cannot boot");
  const corrupt = headOf("gpt", 512);
  corrupt.writeUInt8(corrupt.readUInt8(600) ^ 1, 600);
  expect(reason({ oldHead: corrupt })).toContain("corrupt");
  const entries = headOf("gpt", 512);
  entries.writeUInt8(1, 1024 + 130);
  expect(reason({ oldHead: entries })).toContain("corrupt");
  expect(reason({ oldHead: Buffer.alloc(MiB) }, "mbr")).toContain("no boot signature");
  const options = { sector: 512, diskSectors: diskSizeBytes / 512 } as const;
  const hybrid = { type: 0x0c, start: 2048, sectors: 2048 };
  expect(reason({ oldHead: gptHead([{ slot: 2, firstLba: 2048, lastLba: 4095 }], { ...options, hybrid }) })).toContain(
    "hybrid",
  );
  expect(reason({ espUuid: uuidOf(7) })).toContain("which this disk does not have");
  expect(reason({ firmware: "uefi", espUuid: uuidOf(2) }, "mbr")).toContain("which this disk does not have");
  const many = gptHead([{ slot: 2, firstLba: 4096, lastLba: 5000 }], { ...options, entryCount: 1024 });
  expect(reason({ oldHead: many })).toContain("room for 1024 partitions");
  const tail = gptHead([{ slot: 2, firstLba: 2048, lastLba: 15_000 }], { ...options, diskSectors: 15_040 });
  const short = { diskSizeBytes: 15_020 * 512, bootVolume: { offsetBytes: 5 * MiB, sizeBytes: MiB } };
  expect(reason({ oldHead: tail, ...short })).toContain("where the backup of a GPT belongs");
  const far = { bootVolume: { offsetBytes: 2 ** 41, sizeBytes: MiB }, diskSizeBytes: 2 ** 42 };
  expect(reason(far, "mbr")).toContain("an MBR counts only up to 2199023255552");
  const last = { bootVolume: { offsetBytes: 2 ** 41 - MiB, sizeBytes: MiB }, diskSizeBytes: 2 ** 42 };
  expect(reason(last, "mbr")).toBe("accepted");
});

test("logical partitions behind the first MiB are no obstacle", () => {
  const oldHead = Buffer.alloc(MiB);
  mbrSector([
    { type: 0x83, start: 2048, sectors: 2048 },
    { type: 0x05, start: 4096, sectors: 4096 },
  ]).copy(oldHead);
  expect(planSwitch(requestOf("mbr", 512, { oldHead })).form).toBe("mbr");
});

test("the entries lie in front of what the table declares usable, as the specification wants it", () => {
  const { lifeboatSector } = planSwitch(requestOf("gpt", 512));
  expect(Number(lifeboatSector.readBigUInt64LE(72)) * 512).toBe(entriesOffsetBytes);
  expect(Number(lifeboatSector.readBigUInt64LE(40)) * 512).toBe(bootVolume.offsetBytes);
  expect(entriesOffsetBytes + 128 * 128).toBeLessThan(bootVolume.offsetBytes);
});
