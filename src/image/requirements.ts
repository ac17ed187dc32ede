/** Whether an image suits the disk and the configuration. Pure: what is known in, a refusal or nothing out. */
import { relocateGpt } from "../disk/gpt-relocate.ts";
import type { Partition, PartitionTable } from "../disk/partition-table.ts";
import { ReimageError } from "../errors.ts";
import type { Manifest } from "./manifest/manifest.ts";
import { headBytes, type ImageOutline, type OutlinedPartition } from "./outline.ts";

/** File systems that the initramfs can write to. */
const writableTypes = ["ext2", "ext3", "ext4", "xfs", "btrfs", "vfat"];

/** A partition that the configuration names, and which key names it. */
export interface WantedPartition {
  readonly key: string;
  /** A partition number, or PARTLABEL= PARTUUID= LABEL= UUID=. */
  readonly spec: string;
}

/**
 * @param imageSizeBytes of the raw image
 * @throws ReimageError `partition-table` where the image has no table, one for other sectors than the target's, or a GPT
 * that cannot be fitted to the target; `too-small` where its partitions, or they and the backup of the GPT, reach beyond
 * the target; `image` where they reach beyond the image itself.
 */
export function requireTable(
  outline: ImageOutline,
  name: string,
  imageSizeBytes: number,
  target: { readonly sizeBytes: number; readonly sectorSizeBytes: number },
): asserts outline is ImageOutline & { readonly table: NonNullable<ImageOutline["table"]> } {
  if (outline.table === null) {
    throw new ReimageError("partition-table", `image ${name} has no usable partition table: ${outline.reason}`, {
      hint: "image.source must be the image of a whole disk, not of one file system",
    });
  }
  const { sectorSizeBytes, sizeBytes } = target;
  const madeForBytes = sectorSizeOf(outline.table, imageSizeBytes);
  if (madeForBytes !== sectorSizeBytes) {
    throw new ReimageError(
      "partition-table",
      `image ${name} was made for sectors of ${madeForBytes} bytes, the target disk has sectors of ${sectorSizeBytes}`,
      { hint: `make the image on a disk with sectors of ${sectorSizeBytes} bytes` },
    );
  }
  if (outline.table.lastUsedByteEnd > sizeBytes) {
    throw new ReimageError(
      "too-small",
      `the partitions of image ${name} reach to byte ${outline.table.lastUsedByteEnd}, the target disk only to ${sizeBytes}`,
      { hint: "make a smaller image, or use a larger disk" },
    );
  }
  // Nothing but this tells that a raw image was cut, or that an image was packed from one.
  if (outline.table.lastUsedByteEnd > imageSizeBytes) {
    throw new ReimageError(
      "image",
      `image ${name} is cut off: its partitions reach to byte ${outline.table.lastUsedByteEnd}, the image only to ${imageSizeBytes}`,
      { hint: "copy or make the image again, and compare its size with the disk that it was made from" },
    );
  }
  if (outline.table.type === "gpt") relocateGpt(outline.head, sectorSizeBytes, sizeBytes); // as the commit will
}

/**
 * @throws ReimageError `image` where the partitions of the image are not those of its manifest: such a manifest was made for
 * another image, whatever its digests say.
 */
export function requireDescribed(table: PartitionTable, { partitionTable }: Manifest, name: string): void {
  if (partitionTable === undefined) return;
  const place = (partitions: readonly Pick<Partition, "number" | "startBytes" | "sizeBytes">[]) =>
    partitions.map(({ number, startBytes, sizeBytes }) => `${number} at ${startBytes} (${sizeBytes} bytes)`).sort();
  const found = place(table.partitions);
  const said = place(partitionTable);
  if (Bun.deepEquals(found, said)) return;
  throw new ReimageError(
    "image",
    `image ${name} has partitions ${found.join(", ")}; its manifest says ${said.join(", ")}`,
    { hint: "pack the image again with reimage pack" },
  );
}

/**
 * The sectors that an image was made for. A GPT says so. An MBR does not, and was read as one for the target's sectors:
 * where it does not fit the image as such, but does in sectors of 512 bytes, it counts in those.
 */
function sectorSizeOf({ type, sectorSizeBytes, lastUsedByteEnd }: PartitionTable, imageSizeBytes: number): number {
  const usualBytes = 512;
  const fits = (bytes: number) => (lastUsedByteEnd / sectorSizeBytes) * bytes <= imageSizeBytes;
  return type === "mbr" && !fits(sectorSizeBytes) && fits(usualBytes) ? usualBytes : sectorSizeBytes;
}

/** The partition of the image that `spec` names, or null. */
export function findPartition(partitions: readonly OutlinedPartition[], spec: string): OutlinedPartition[] {
  const [, tag, value = ""] = /^(LABEL|UUID|PARTLABEL|PARTUUID)=(.*)$/.exec(spec) ?? [];
  const same = (found: string | null | undefined) => found?.toLowerCase() === value.toLowerCase();
  return partitions.filter((partition) => {
    if (partition.kind === "extended") return false;
    if (tag === undefined) return String(partition.number) === spec;
    if (tag === "PARTLABEL") return partition.name === value;
    if (tag === "PARTUUID") return same(partition.uuid);
    return tag === "LABEL" ? partition.fileSystem?.label === value : same(partition.fileSystem?.uuid);
  });
}

/**
 * Every partition that `new.root` and `new.mounts` name must be in the image's own table, lie within its disk, and hold a
 * file system that can be written to.
 * @throws ReimageError `image` naming the key, the partition, and what the image has.
 */
export function requirePartitions(
  partitions: readonly OutlinedPartition[],
  wanted: readonly WantedPartition[],
  name: string,
): void {
  for (const { key, spec } of wanted) {
    const found = findPartition(partitions, spec);
    const [partition] = found;
    if (found.length > 1)
      throw new ReimageError("image", `${key}: ${spec} names ${found.length} partitions of image ${name}`, {
        hint: `name the partition by its number; the image has ${describe(partitions)}`,
      });
    // A label behind the part of the image that was seen cannot be judged yet; it is looked up again once it is written.
    if (partition === undefined && /^(LABEL|UUID)=/.test(spec) && partitions.some((p) => !p.wasSeen)) continue;
    if (partition === undefined) {
      throw new ReimageError(
        "image",
        `${key}: image ${name} has no partition ${spec}; it has ${describe(partitions)}`,
        {
          hint: `set ${key} to one of them`,
        },
      );
    }
    const type = partition.fileSystem?.type;
    if (!partition.wasSeen || (type !== undefined && writableTypes.includes(type))) {
      requireBehindHead(key, partition, name);
      continue;
    }
    throw new ReimageError(
      "image",
      `${key}: partition ${partition.number} of image ${name}, at byte ${partition.startBytes}, holds ${type ?? "no known file system"}`,
      {
        hint: `it must hold ${writableTypes.join(", ")}; where it does, the image was made for a disk with another sector size`,
      },
    );
  }
}

/** What begins within the first MiB cannot be mounted before the commit, and the commit would undo what was restored. */
function requireBehindHead(key: string, { number, startBytes }: OutlinedPartition, name: string): void {
  if (startBytes >= headBytes) return;
  throw new ReimageError(
    "image",
    `${key}: partition ${number} of image ${name} begins at byte ${startBytes}, within the first MiB, which is written last`,
    { hint: "make the image with partitions that begin at 1 MiB or behind, as tools have done since 2010" },
  );
}

function describe(partitions: readonly OutlinedPartition[]): string {
  return partitions
    .map(({ number, kind, name, fileSystem }) => {
      const what = kind === "extended" ? "extended" : (fileSystem?.type ?? "unknown");
      const label = fileSystem?.label ?? name;
      return `${number} (${what}${label ? `, ${label}` : ""})`;
    })
    .join(", ");
}
