/**
 * Finds a lifeboat by what it holds, on whatever disk. It is looked for where it was made, and nowhere else: its header says
 * where that is, so that one that was copied to another place does not count, and a large disk takes hours to be searched.
 */
import { openBlockDevice } from "../disk/block-device.ts";
import type { Disk } from "../disk/disk.ts";
import { describeDisk } from "../disk/guard.ts";
import { ReimageError } from "../errors.ts";
import { alignedBuffer } from "../system/libc.ts";
import { diskIdentity, type LifeboatHeader, parseHeader } from "./header.ts";
import { bootLayout } from "./layout.ts";

/** A header that belongs to the disk that it was read from, as far as it says itself. */
export interface FoundLifeboat {
  readonly disk: Disk;
  readonly header: LifeboatHeader;
}

/** What is looked for. */
export interface Wanted {
  readonly uuid: string;
  /** Where it was made: the absolute byte at which its boot extent begins. */
  readonly offsetBytes: number;
}

/**
 * The one lifeboat with that UUID, on any of the disks. A copy of the whole disk holds a copy of the lifeboat: then the
 * disk counts that the header describes.
 * @param isLast whether no further disk is waited for: then the only one that fits will do, whatever it says of itself. An
 * old kernel may have known a disk by another serial number.
 * @returns null where there is none.
 * @throws ReimageError `lifeboat` where two disks are equally right.
 */
export async function findLifeboat(
  disks: readonly Disk[],
  wanted: Wanted,
  isLast = true,
): Promise<FoundLifeboat | null> {
  const found: FoundLifeboat[] = [];
  for (const disk of disks) {
    const header = await readHeaderAt(disk, wanted.offsetBytes).catch(ignoreUnreadable);
    if (header?.uuid === wanted.uuid) found.push({ disk, header });
  }
  return chooseLifeboat(found, isLast);
}

/** A card reader without a card, or another disk that is broken, is no reason not to find it. */
function ignoreUnreadable(error: unknown): null {
  if (error instanceof ReimageError && error.code === "device-io") return null;
  throw error;
}

/**
 * Of several copies, the one on the disk that its header describes (pure). What one kernel knows of a disk and another does
 * not is no difference.
 * @returns null where there is none, or, unless `isLast`, none on such a disk: that one may still appear.
 * @throws ReimageError `lifeboat` where several are equally right.
 */
export function chooseLifeboat(found: readonly FoundLifeboat[], isLast: boolean): FoundLifeboat | null {
  const fitting = found.filter(
    ({ disk, header }) =>
      disk.sizeBytes === header.disk.sizeBytes && disk.sectorSizeBytes === header.disk.sectorSizeBytes,
  );
  const own = fitting.filter(({ disk, header }) => isDescribed(disk, header));
  const exact = own.filter(({ disk, header }) => Bun.deepEquals(diskIdentity(disk), header.disk));
  for (const choice of [exact, own, isLast ? fitting : []]) {
    const [only] = choice;
    if (choice.length === 1 && only !== undefined) return only;
    if (choice.length > 1) throw ambiguous(choice);
  }
  return null;
}

function isDescribed(disk: Disk, { disk: described }: LifeboatHeader): boolean {
  return (["serial", "wwn", "model"] as const).every(
    (property) => disk[property] === null || described[property] === null || disk[property] === described[property],
  );
}

function ambiguous(found: readonly FoundLifeboat[]): ReimageError {
  const list = found.map(({ disk }) => `\n  ${describeDisk(disk)}`).join("");
  return new ReimageError(
    "lifeboat",
    `several disks hold the same lifeboat, and nothing is written to any of them:${list}`,
    { hint: "disconnect the disk that is a copy, and start the machine again" },
  );
}

/** The header at an absolute byte of a disk; null where there is none that is whole, or that was made for there. */
export async function readHeaderAt(disk: Disk, offsetBytes: number): Promise<LifeboatHeader | null> {
  if (offsetBytes < 0 || offsetBytes + bootLayout.headerBytes > disk.sizeBytes) return null;
  await using device = await openBlockDevice(disk.path, { write: false, exclusive: false });
  const block = alignedBuffer(bootLayout.headerBytes);
  await device.readDirectAt(block, offsetBytes);
  const header = parseHeader(block);
  return header?.boot.offsetBytes === offsetBytes ? header : null;
}
