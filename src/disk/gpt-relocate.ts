/** Fits a GPT to the disk it is written to: its backup belongs at the very end, and both copies say where the end is. */
import { ReimageError } from "../errors.ts";
import { ENTRY_BYTES, HEADER, headerCrc, parseGpt, parseGptHeader } from "./gpt.ts";
import { hasMbrSignature, isProtectedByMbr } from "./mbr.ts";

/** A GPT fitted to a disk. `backup` (entries, then header) belongs at `backupOffsetBytes`, the end of the disk. */
export interface RelocatedGpt {
  readonly head: Buffer;
  readonly backup: Buffer;
  readonly backupOffsetBytes: number;
}

/**
 * Fits a GPT made for another disk size to a disk of `diskSizeBytes`. `head` is the beginning of the image (the first
 * MiB, or more where the entries lie further behind) and is left as it is; the result is a changed copy.
 * @throws ReimageError `partition-table` where `head` does not hold a whole valid GPT, `too-small` where the last
 * partition and the backup do not both fit on the disk.
 */
export function relocateGpt(head: Buffer, sectorSizeBytes: number, diskSizeBytes: number): RelocatedGpt {
  const header = parseGptHeader(head, sectorSizeBytes);
  if (typeof header === "string") throw invalid(header);
  if (!hasMbrSignature(head) || !isProtectedByMbr(head)) throw invalid("it has no protective MBR");
  const parsed = parseGpt(head, (offset, length) => readWithin(head, offset, length), sectorSizeBytes);
  if (parsed.kind === "missing") {
    throw invalid(`its GPT entries at byte ${parsed.offsetBytes} lie behind the first ${head.length} bytes`);
  }
  if (parsed.kind === "none") throw invalid(parsed.reason);

  const entriesBytes = header.entryCount * ENTRY_BYTES;
  const entriesSectors = Math.ceil(entriesBytes / sectorSizeBytes);
  const lastLba = Math.floor(diskSizeBytes / sectorSizeBytes) - 1;
  const lastUsableLba = lastLba - entriesSectors - 1;
  const neededBytes = parsed.table.lastUsedByteEnd + (entriesSectors + 1) * sectorSizeBytes;
  if ((lastLba + 1) * sectorSizeBytes < neededBytes || lastUsableLba < header.firstUsableLba) {
    throw new ReimageError(
      "too-small",
      `the image's partitions and the backup of its GPT need ${neededBytes} bytes, but the disk has ${diskSizeBytes}`,
      { hint: "use a larger disk, or an image with smaller partitions" },
    );
  }

  const entries = Buffer.alloc(entriesSectors * sectorSizeBytes);
  head.copy(entries, 0, header.entriesLba * sectorSizeBytes, header.entriesLba * sectorSizeBytes + entriesBytes);
  const newHead = Buffer.from(head);
  const primary = newHead.subarray(sectorSizeBytes, sectorSizeBytes + header.headerBytes);
  const write = (target: Buffer, own: number, other: number, entriesLba: number) => {
    target.writeBigUInt64LE(BigInt(own), HEADER.ownLba);
    target.writeBigUInt64LE(BigInt(other), HEADER.otherLba);
    target.writeBigUInt64LE(BigInt(lastUsableLba), HEADER.lastUsableLba);
    target.writeBigUInt64LE(BigInt(entriesLba), HEADER.entriesLba);
    target.writeUInt32LE(headerCrc(target), HEADER.crc);
  };
  const backupHeader = Buffer.alloc(sectorSizeBytes);
  primary.copy(backupHeader);
  write(primary, 1, lastLba, header.entriesLba);
  write(backupHeader.subarray(0, header.headerBytes), lastLba, 1, lastUsableLba + 1);
  fitProtectiveMbr(newHead, lastLba);
  return {
    head: newHead,
    backup: Buffer.concat([entries, backupHeader]),
    backupOffsetBytes: (lastUsableLba + 1) * sectorSizeBytes,
  };
}

/** A protective entry covers the whole disk. In a hybrid MBR it covers what its maker chose, and stays as it is. */
function fitProtectiveMbr(head: Buffer, lastLba: number): void {
  const slots = [0, 1, 2, 3].map((slot) => head.subarray(446 + slot * 16, 446 + (slot + 1) * 16));
  const used = slots.filter((slot) => slot.readUInt8(4) !== 0);
  const [protective] = used;
  if (used.length !== 1 || protective === undefined) return;
  protective.writeUInt32LE(Math.min(lastLba, 0xffffffff), 12);
}

function readWithin(head: Buffer, offsetBytes: number, lengthBytes: number): Buffer | null {
  return offsetBytes + lengthBytes <= head.length ? head.subarray(offsetBytes, offsetBytes + lengthBytes) : null;
}

function invalid(reason: string): ReimageError {
  return new ReimageError("partition-table", `the GPT of the image cannot be fitted to the disk: ${reason}`);
}
