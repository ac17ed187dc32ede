/** From the lifeboat to the new OS: what has to be on the disk, in which order, and the one sector that ends it. Pure. */
import { isProtectedByMbr } from "../../disk/mbr.ts";
import type { PartitionTable } from "../../disk/table.ts";
import { ReimageError } from "../../errors.ts";
import { mbrFormSector } from "./mbr-sector.ts";
import type { SwitchForm, SwitchPlan } from "./switch-plan.ts";
import { lifeboatBackupTable } from "./transitional-table.ts";
import type { Write } from "./write.ts";

export type { Write } from "./write.ts";

/** Backup tables and what else may boot or confuse lies there. */
const TAIL_BYTES = 1 << 20;

export interface WritingPlan {
  /** The form of the switch from then on. */
  readonly form: SwitchForm;
  /** Each one to be flushed and read back before the next. */
  readonly writes: readonly Write[];
}

/**
 * What is written to the ends of the disk when the state `writing` is entered, before any byte of the image: afterwards
 * nothing leads to the old system, whichever copy of a table the firmware takes. All of it can be repeated.
 *
 * A new image with an MBR may fill the disk to its last sector, where the backup of a GPT would be. Firmware that misses the
 * backup of a valid primary writes it there, into the image. So before such an image the switch becomes an MBR.
 * @param newTable the kind of the new image's partition table
 */
export function planWriting(
  plan: Pick<SwitchPlan, "lifeboatSector" | "entries" | "bootVolume" | "sectorSizeBytes" | "diskSizeBytes">,
  newTable: SwitchForm,
): WritingPlan {
  const { bootVolume, sectorSizeBytes, diskSizeBytes } = plan;
  const backup = lifeboatBackupTable(plan);
  if (backup !== null && newTable === "gpt") return { form: "gpt", writes: [backup] };
  const tail = { offsetBytes: Math.max(0, diskSizeBytes - TAIL_BYTES), data: Buffer.alloc(TAIL_BYTES) };
  if (backup === null) return { form: "mbr", writes: [tail] };
  const sector = mbrFormSector({ volume: bootVolume, sectorSizeBytes });
  return { form: "mbr", writes: [{ offsetBytes: 0, data: sector }, tail] };
}

/**
 * Whether all that is written on the way to the new OS can be: once the body is being written it is too late to find out.
 * @throws ReimageError `lifeboat` where the switch cannot become what an image with that table needs.
 */
export function requireCommittable(
  plan: Parameters<typeof planWriting>[0],
  table: Pick<PartitionTable, "type" | "lastUsedByteEnd">,
): void {
  const { form } = planWriting(plan, table.type); // of form mbr it may not reach so far
  const backup = lifeboatBackupTable(plan);
  if (form === "mbr" || backup === null || table.lastUsedByteEnd <= backup.offsetBytes) return;
  throw new ReimageError(
    "lifeboat",
    `the new image has a partition up to byte ${table.lastUsedByteEnd}, and the lifeboat's backup table begins at ${backup.offsetBytes}: the GPT of the old system has room for more partitions than the new one's`,
    { hint: "make it smaller (sgdisk --resize-table=128), or the last partition of the image" },
  );
}

export interface CommitRequest {
  /** The first bytes of the new disk, at most a MiB, fitted to the disk. */
  readonly head: Buffer;
  /** The form that the switch has now. */
  readonly form: SwitchForm;
  readonly sectorSizeBytes: number;
}

export interface CommitPlan {
  /** Each one to be flushed and read back before the next. The disk boots the lifeboat, whatever of them is lost. */
  readonly before: readonly Write[];
  /** One sector. With it the disk boots the new OS. To be flushed and read back too. */
  readonly commit: Write;
}

/**
 * The head of the new image, the switch last. A GPT's backup has to be at the end of the disk before all of this.
 * @throws ReimageError `bug` where the image has an MBR and the switch is not of form `mbr` yet: see mbrFormSector
 */
export function planCommit(request: CommitRequest): CommitPlan {
  const { form, sectorSizeBytes } = request;
  const head = wholeSectors(request.head, sectorSizeBytes);
  const part = (startSector: number, endSector?: number): Write => {
    const endBytes = endSector === undefined ? head.length : endSector * sectorSizeBytes;
    return { offsetBytes: startSector * sectorSizeBytes, data: head.subarray(startSector * sectorSizeBytes, endBytes) };
  };
  if (form === "mbr") return { before: nonEmpty([part(1)]), commit: part(0, 1) };
  if (!isProtectedByMbr(head)) {
    throw new ReimageError("bug", "an image with an MBR cannot be committed while a GPT is the switch");
  }
  // LBA 0 stays a protective MBR, and the transitional table has its entries elsewhere: LBA 1 alone decides.
  return { before: nonEmpty([part(0, 1), part(2)]), commit: part(1, 2) };
}

function nonEmpty(writes: readonly Write[]): Write[] {
  return writes.filter(({ data }) => data.length > 0);
}

/** An image may end within a sector. */
function wholeSectors(head: Buffer, sectorSizeBytes: number): Buffer {
  const rest = head.length % sectorSizeBytes;
  return rest === 0 ? head : Buffer.concat([head, Buffer.alloc(sectorSizeBytes - rest)]);
}
