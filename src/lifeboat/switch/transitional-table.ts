/**
 * A GPT whose primary header is the switch: it takes the place of the old one in LBA 1, and its entries lie in the lifeboat,
 * so that the old entries, the protective MBR and the backup table stay as they are. It names one partition, the boot
 * volume. UEFI specification, 5.3. Pure.
 */
import { crc32 } from "node:zlib";
import { ENTRY_BYTES, HEADER, headerCrc, parseGptHeader, readGuid, writeGuid } from "../../disk/gpt.ts";
import type { PartitionTable } from "../../disk/table.ts";
import { ReimageError } from "../../errors.ts";
import type { SwitchPlan, SwitchRequest } from "./switch-plan.ts";
import type { Write } from "./write.ts";

const EFI_SYSTEM_PARTITION = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
const NAME = "reimage lifeboat";
/** As many as the room for them in the lifeboat holds. */
const MAXIMUM_ENTRIES = 512;

/** The header, one sector, and the entries, whole sectors. @throws ReimageError `lifeboat` where there can be none */
export function transitionalTable(
  request: SwitchRequest,
  table: PartitionTable,
): { readonly header: Buffer; readonly entries: Buffer } {
  const { oldHead, sectorSizeBytes, bootVolume, entriesOffsetBytes } = request;
  const old = parseGptHeader(oldHead, sectorSizeBytes);
  if (typeof old === "string") throw new ReimageError("bug", `the GPT was whole, and now: ${old}`);
  if (old.entryCount > MAXIMUM_ENTRIES) throw refusal(`its GPT has room for ${old.entryCount} partitions`);
  const { lastLba, lastUsableLba } = endOfDisk(request, old.entryCount);
  const usableEndBytes = (lastUsableLba + 1) * sectorSizeBytes;
  // Firmware that finds no backup makes one there, so nothing else may be there.
  if (table.lastUsedByteEnd > usableEndBytes) throw refusal("a partition reaches to where the backup of a GPT belongs");
  const firstUsableLba = bootVolume.offsetBytes / sectorSizeBytes;
  const volumeEndBytes = bootVolume.offsetBytes + bootVolume.sizeBytes;
  if (volumeEndBytes > usableEndBytes || entriesOffsetBytes >= bootVolume.offsetBytes) {
    throw new ReimageError("bug", `the boot volume at byte ${bootVolume.offsetBytes} does not fit its partition table`);
  }
  const oldEsp = findOldEsp(request, table);

  const entries = Buffer.alloc(Math.ceil((old.entryCount * ENTRY_BYTES) / sectorSizeBytes) * sectorSizeBytes);
  const entry = entries.subarray((oldEsp.number - 1) * ENTRY_BYTES, oldEsp.number * ENTRY_BYTES);
  writeGuid(entry, 0, EFI_SYSTEM_PARTITION);
  writeGuid(entry, 16, oldEsp.uuid);
  entry.writeBigUInt64LE(BigInt(firstUsableLba), 32);
  entry.writeBigUInt64LE(BigInt(volumeEndBytes / sectorSizeBytes - 1), 40);
  entry.write(NAME, 56, "utf16le");

  const header = Buffer.alloc(sectorSizeBytes);
  oldHead.copy(header, 0, sectorSizeBytes, sectorSizeBytes + old.headerBytes);
  header.writeBigUInt64LE(BigInt(lastLba), HEADER.otherLba);
  header.writeBigUInt64LE(BigInt(firstUsableLba), HEADER.firstUsableLba);
  header.writeBigUInt64LE(BigInt(lastUsableLba), HEADER.lastUsableLba);
  header.writeBigUInt64LE(BigInt(entriesOffsetBytes / sectorSizeBytes), HEADER.entriesLba);
  header.writeUInt32LE(crc32(entries.subarray(0, old.entryCount * ENTRY_BYTES)), HEADER.entriesCrc);
  header.writeUInt32LE(headerCrc(header.subarray(0, old.headerBytes)), HEADER.crc);
  return { header, entries };
}

/**
 * Form `gpt`: the backup of the transitional table, entries and header, for the end of the disk. Where firmware finds the
 * primary damaged it boots by this one, so from the first destroyed byte on it must not be the old system's. Null in form
 * `mbr`, where no GPT counts. @param plan `entries` as planned, or as read from the lifeboat
 * @throws ReimageError `lifeboat` where entries and header do not belong together
 */
export function lifeboatBackupTable(
  plan: Pick<SwitchPlan, "lifeboatSector" | "entries" | "sectorSizeBytes" | "diskSizeBytes">,
): Write | null {
  const { lifeboatSector, entries, sectorSizeBytes } = plan;
  if (entries === null) return null;
  const header = Buffer.from(lifeboatSector);
  const entriesBytes = header.readUInt32LE(HEADER.entryCount) * ENTRY_BYTES;
  if (crc32(entries.subarray(0, entriesBytes)) !== header.readUInt32LE(HEADER.entriesCrc)) {
    throw new ReimageError("lifeboat", "the partition entries in the lifeboat are not the ones that were put there", {
      hint: "test the disk: what was written to it has changed",
    });
  }
  const { lastLba, lastUsableLba } = endOfDisk(plan, header.readUInt32LE(HEADER.entryCount));
  header.writeBigUInt64LE(BigInt(lastLba), HEADER.ownLba);
  header.writeBigUInt64LE(1n, HEADER.otherLba);
  header.writeBigUInt64LE(BigInt(lastUsableLba + 1), HEADER.entriesLba);
  header.writeUInt32LE(headerCrc(header.subarray(0, header.readUInt32LE(HEADER.headerBytes))), HEADER.crc);
  return { offsetBytes: (lastUsableLba + 1) * sectorSizeBytes, data: Buffer.concat([entries, header]) };
}

/**
 * Whether a primary header is of the same table as another: firmware that repairs one from its backup writes the same
 * entries, but another place for them.
 */
export function isSameTable(head: Buffer, header: Buffer, sectorSizeBytes: number): boolean {
  const found = parseGptHeader(head, sectorSizeBytes);
  if (typeof found === "string") return false;
  return (
    found.diskId === readGuid(header, HEADER.diskGuid) && found.entriesCrc === header.readUInt32LE(HEADER.entriesCrc)
  );
}

/** The backup at the very end whatever the old table says: an image that was copied to a larger disk has it elsewhere. */
function endOfDisk(
  disk: { readonly diskSizeBytes: number; readonly sectorSizeBytes: number },
  entryCount: number,
): { readonly lastLba: number; readonly lastUsableLba: number } {
  const lastLba = Math.floor(disk.diskSizeBytes / disk.sectorSizeBytes) - 1;
  return { lastLba, lastUsableLba: lastLba - 1 - Math.ceil((entryCount * ENTRY_BYTES) / disk.sectorSizeBytes) };
}

/**
 * Boot entries of the firmware name the ESP by its PARTUUID, and some firmware by its number too: the boot volume takes
 * both over, so that they lead to the lifeboat.
 */
function findOldEsp(
  { espUuid, uuid }: SwitchRequest,
  table: PartitionTable,
): { readonly number: number; readonly uuid: string } {
  if (espUuid === null) return { number: 1, uuid };
  const esp = table.partitions.find((partition) => partition.uuid === espUuid.toLowerCase());
  if (esp === undefined)
    throw refusal(`the firmware booted from the partition ${espUuid}, which this disk does not have`);
  return esp;
}

function refusal(reason: string): ReimageError {
  return new ReimageError("lifeboat", `a lifeboat cannot be switched to: ${reason}`, {
    hint: "--accept-power-cut-risk does without one: a power cut while the disk is written then loses this machine",
  });
}
