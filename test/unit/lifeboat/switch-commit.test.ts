/** From the first destroyed byte to the commit: whatever of the write under way is lost, firmware boots the lifeboat. */
import { expect, test } from "bun:test";
import { planCommit, planWriting, requireCommittable } from "../../../src/lifeboat/switch/commit.ts";
import { currentBoot } from "../../../src/lifeboat/switch/current-boot.ts";
import { mbrFormSector, planSwitch, type Write } from "../../../src/lifeboat/switch/plan.ts";
import type { SwitchForm } from "../../../src/lifeboat/switch/switch-plan.ts";
import { mbrPartitions, uefiPartitions } from "../../support/model-firmware.ts";
import { createRandom, type Random } from "../../support/random.ts";
import { gptHead } from "../disk/make-tables.ts";
import { apply, bootVolume, diskSizeBytes, MiB, newHead, oldDisk, requestOf, type SwitchDisk } from "./switch-disk.ts";

type Firmware = "bios" | "uefi";
type Table = "mbr" | "gpt";
const tornStates = 8;
const lifeboat = { offsetBytes: 4 * MiB, sizeBytes: 3 * MiB };

interface Machine extends SwitchDisk {
  readonly firmware: Firmware;
  readonly sector: 512 | 4096;
  readonly random: Random;
}

/** What a machine would boot from `disk`; what firmware repairs there is kept. */
function bootOf({ firmware, sector, plan }: Machine, disk: Buffer): "old" | "lifeboat" | "new" | "dead" {
  const newPartition = { startBytes: MiB, sizeBytes: 2 * MiB };
  const found = firmware === "bios" ? mbrPartitions(disk, sector) : uefiPartitions(disk, sector);
  const has = (place: { startBytes: number; sizeBytes: number }): boolean =>
    found.some(({ startBytes, sizeBytes }) => startBytes === place.startBytes && sizeBytes === place.sizeBytes);
  if (found.length === 1 && has({ startBytes: bootVolume.offsetBytes, sizeBytes: bootVolume.sizeBytes })) {
    const isBootable = firmware === "uefi" || disk.subarray(0, 440).equals(plan.lifeboatSector.subarray(0, 440));
    return isBootable ? "lifeboat" : "dead";
  }
  // A protective MBR is what a BIOS sees of a GPT; its boot code is the new system's.
  if (disk.toString("latin1", 300, 303) === "new") return firmware === "bios" || has(newPartition) ? "new" : "dead";
  return found.length === 2 && has({ startBytes: MiB, sizeBytes: MiB }) ? "old" : "dead";
}

/** Applies the writes in order, each one flushed before the next; at every instant the machine boots the lifeboat. */
function applyAll(machine: Machine, writes: readonly Write[]): void {
  const { disk, sector, random } = machine;
  for (const write of writes) {
    expect(write.data.length % sector).toBe(0);
    const sectors = write.data.length / sector;
    for (let state = 0; state < tornStates; state += 1) {
      const torn = Buffer.from(disk);
      const kept = random.pick([0.02, 0.5, 0.98]);
      for (let index = 0; index < sectors; index += 1) {
        if (!random.chance(kept)) continue;
        const piece = write.data.subarray(index * sector, (index + 1) * sector);
        apply(torn, { offsetBytes: write.offsetBytes + index * sector, data: piece });
      }
      expect(bootOf(machine, torn)).toBe("lifeboat");
      // What firmware repairs lies at the ends of the disk, where no image is yet.
      expect(torn.subarray(MiB, diskSizeBytes - MiB).equals(disk.subarray(MiB, diskSizeBytes - MiB))).toBe(true);
    }
    apply(disk, write);
    expect(bootOf(machine, disk)).toBe("lifeboat");
  }
}

/** The image's body: everything between its head and, for a GPT, its backup, but for the lifeboat. */
function writeBody({ disk, sector }: Machine, table: Table): Buffer {
  const endBytes = table === "gpt" ? diskSizeBytes - (128 * 128 + sector) : diskSizeBytes;
  disk.fill(0xbb, MiB, lifeboat.offsetBytes);
  disk.fill(0xbb, lifeboat.offsetBytes + lifeboat.sizeBytes, endBytes);
  return Buffer.from(disk.subarray(MiB, endBytes));
}

function openMachine(firmware: Firmware, oldTable: Table, sector: 512 | 4096): Machine {
  const machine = { firmware, sector, random: createRandom(7), ...oldDisk(requestOf(oldTable, sector, { firmware })) };
  const { disk, plan } = machine;
  expect(firmware === "uefi" ? bootOf(machine, disk) : currentBoot(disk, plan)).toBe("old");
  apply(disk, { offsetBytes: plan.sectorOffsetBytes, data: plan.lifeboatSector });
  expect(bootOf(machine, disk)).toBe("lifeboat");
  return machine;
}

const cases = (["bios", "uefi"] as const).flatMap((firmware) =>
  (["mbr", "gpt"] as const).flatMap((oldTable) =>
    (["mbr", "gpt"] as const).flatMap((newTable) =>
      ([512, 4096] as const)
        .filter((sector) => firmware === "uefi" || sector === 512)
        .map((sector) => ({ firmware, oldTable, newTable, sector })),
    ),
  ),
);

for (const { firmware, oldTable, newTable, sector } of cases) {
  test(`${firmware}, ${sector}: from ${oldTable} to ${newTable}`, () => {
    const machine = openMachine(firmware, oldTable, sector);
    const { disk, plan } = machine;
    const { form, writes } = planWriting(plan, newTable);
    expect(form).toBe(firmware === "uefi" && oldTable === "gpt" && newTable === "gpt" ? "gpt" : "mbr");
    applyAll(machine, writes);
    for (const write of writes) apply(disk, write); // entered again
    expect(
      disk
        .subarray(diskSizeBytes - sector)
        .equals(oldDisk(requestOf(oldTable, sector, { firmware })).disk.subarray(diskSizeBytes - sector)),
    ).toBe(false);
    if (form === "gpt") {
      const damaged = Buffer.from(disk);
      damaged.fill(0, sector, 2 * sector);
      expect(bootOf(machine, damaged)).toBe("lifeboat"); // nothing leads to the old system any more
    }
    const body = writeBody(machine, newTable);
    expect(bootOf(machine, disk)).toBe("lifeboat");
    expect(disk.subarray(MiB, MiB + body.length).equals(body)).toBe(true);

    const { head, backup } = newHead(newTable, sector);
    const { before, commit } = planCommit({ head, form, sectorSizeBytes: sector });
    applyAll(machine, [...(backup === null ? [] : [backup]), ...before]);
    expect(currentBoot(disk, { ...plan, form })).not.toBe("old");
    expect(commit.data.length).toBe(sector);
    apply(disk, commit);
    expect(bootOf(machine, disk)).toBe("new");
    expect(disk.subarray(0, MiB).equals(head)).toBe(true);
    expect(disk.subarray(MiB, MiB + body.length).equals(body)).toBe(true);
    if (backup === null) return;
    expect(disk.subarray(backup.offsetBytes).equals(backup.data)).toBe(true);
  });
}

for (const sector of [512, 4096] as const) {
  test(`uefi, ${sector}: a GPT that becomes an MBR only at the commit`, () => {
    const machine = openMachine("uefi", "gpt", sector);
    applyAll(machine, planWriting(machine.plan, "gpt").writes);
    const toMbr = { offsetBytes: 0, data: mbrFormSector({ volume: bootVolume, sectorSizeBytes: sector }) };
    const { head } = newHead("mbr", sector);
    const { before, commit } = planCommit({ head, form: "mbr", sectorSizeBytes: sector });
    applyAll(machine, [toMbr, ...before]);
    apply(machine.disk, commit);
    expect(bootOf(machine, machine.disk)).toBe("new");
  });
}

test("a head that is shorter than a MiB, and ends within a sector", () => {
  const plan = (bytes: number, form: SwitchForm, sectorSizeBytes: number) =>
    planCommit({ head: newHead(form, 512).head.subarray(0, bytes), form, sectorSizeBytes });
  const short = plan(700, "mbr", 512);
  expect(short.before.map(({ offsetBytes, data }) => [offsetBytes, data.length])).toEqual([[512, 512]]);
  expect(short.before[0]?.data.subarray(188).every((byte) => byte === 0)).toBe(true);
  expect(short.commit).toMatchObject({ offsetBytes: 0 });
  const one = plan(512, "mbr", 4096);
  expect(one.before).toEqual([]);
  expect(one.commit.data.length).toBe(4096);
  const gpt = plan(34 * 512, "gpt", 512);
  expect(gpt.before.map(({ offsetBytes, data }) => [offsetBytes, data.length])).toEqual([
    [0, 512],
    [1024, 32 * 512],
  ]);
  expect(gpt.commit).toMatchObject({ offsetBytes: 512 });
});

test("an image with an MBR is not committed while the GPT is the switch", () => {
  const { head } = newHead("mbr", 512);
  expect(() => planCommit({ head, form: "gpt", sectorSizeBytes: 512 })).toThrow("cannot be committed");
});

test("what cannot be committed is refused before anything is written", () => {
  const reason = (change: Parameters<typeof requestOf>[2], table: Table, lastUsedByteEnd = 0): string => {
    const { plan } = oldDisk(requestOf("gpt", 512, change));
    try {
      requireCommittable(plan, { type: table, lastUsedByteEnd });
      return "accepted";
    } catch (error) {
      return String(error);
    }
  };
  // A GPT's backup of 128 partitions takes 33 sectors, one of 256 partitions 65.
  const endBytes = diskSizeBytes - 33 * 512;
  expect(reason({}, "gpt", endBytes)).toBe("accepted");
  const slot = { slot: 2, firstLba: 2048, lastLba: 4095 };
  const oldHead = gptHead([slot], { sector: 512, diskSectors: diskSizeBytes / 512, entryCount: 256 });
  expect(reason({ oldHead }, "gpt", endBytes)).toContain("has room for more partitions");
  expect(reason({ oldHead }, "gpt", diskSizeBytes - 65 * 512)).toBe("accepted");
  expect(reason({ oldHead }, "mbr", diskSizeBytes)).toBe("accepted");
});

test("an image with an MBR where the lifeboat lies further than an MBR counts is refused before anything is written", () => {
  const far = { bootVolume: { offsetBytes: 2 ** 41, sizeBytes: MiB }, diskSizeBytes: 2 ** 42 };
  const plan = planSwitch(requestOf("gpt", 512, { ...far, entriesOffsetBytes: 2 ** 41 - 2 * MiB }));
  expect(() => requireCommittable(plan, { type: "mbr", lastUsedByteEnd: 3 * MiB })).toThrow("an MBR counts only up to");
  requireCommittable(plan, { type: "gpt", lastUsedByteEnd: 3 * MiB });
});
