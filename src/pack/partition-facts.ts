/** What the manifest says of the image's partition table. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ENTRY_BYTES, parseGptHeader } from "../disk/gpt.ts";
import { ReimageError } from "../errors.ts";
import type { Manifest } from "../image/manifest/manifest.ts";
import { type ImageOutline, probePartitions } from "../image/outline.ts";
import { requireTable } from "../image/requirements.ts";

/** The table of an image, judged. */
export interface TableFacts {
  readonly tableType: "mbr" | "gpt";
  readonly sectorSizeBytes: 512 | 4096;
  /** The smallest disk that its partitions fit on, with the backup of a GPT. */
  readonly neededDiskBytes: number;
}

/**
 * Judges the table as `reimage plan` would for the smallest disk that it fits on (pure).
 * @param sectorSizeBytes what the operator says; null: what a GPT says, or 512
 * @param imageSizeBytes of the raw image; null where it is not known yet
 * @throws ReimageError `partition-table` or `image`
 */
export function judgeTable(
  outline: ImageOutline,
  name: string,
  sectorSizeBytes: 512 | 4096 | null,
  imageSizeBytes: number | null,
): TableFacts {
  const foundBytes = outline.table?.sectorSizeBytes === 4096 ? 4096 : 512;
  const sectorBytes = sectorSizeBytes ?? foundBytes;
  const { table } = outline;
  let neededDiskBytes = table?.lastUsedByteEnd ?? 0;
  if (table?.type === "gpt" && foundBytes === sectorBytes) {
    const header = parseGptHeader(outline.head, sectorBytes);
    if (typeof header === "string") throw new ReimageError("bug", `image ${name}: ${header}`);
    neededDiskBytes += (Math.ceil((header.entryCount * ENTRY_BYTES) / sectorBytes) + 1) * sectorBytes;
  }
  const target = { sizeBytes: neededDiskBytes, sectorSizeBytes: sectorBytes };
  try {
    requireTable(outline, name, imageSizeBytes ?? neededDiskBytes, target);
  } catch (cause) {
    // The refusal speaks of a target disk, which is not there on a build host; the operator has named its sectors only.
    if (!(cause instanceof ReimageError) || cause.code !== "partition-table") throw cause;
    if (sectorSizeBytes === null || table === null) throw cause;
    throw new ReimageError("partition-table", `image ${name} was not made for sectors of ${sectorSizeBytes} bytes`, {
      hint: "leave out --sector-size, or make the image on a disk with such sectors",
    });
  }
  if (imageSizeBytes !== null && imageSizeBytes % sectorBytes !== 0) {
    throw new ReimageError(
      "image",
      `image ${name} has ${imageSizeBytes} bytes, which is no multiple of its sectors of ${sectorBytes} bytes`,
      { hint: `if it is not cut off, pad it: truncate --size=%${sectorBytes} on the raw image` },
    );
  }
  return { tableType: outline.table.type, sectorSizeBytes: sectorBytes, neededDiskBytes };
}

/** The partitions with what `new.root` can name them by: number, and label and UUID of the file system. Asks blkid. */
export async function describePartitions(outline: ImageOutline): Promise<NonNullable<Manifest["partitionTable"]>> {
  const scratch = mkdtempSync(join(tmpdir(), "reimage-pack-"));
  try {
    const partitions = await probePartitions(outline, join(scratch, "outline"));
    return partitions.map(({ number, startBytes, sizeBytes, type, name, fileSystem }) => ({
      number,
      startBytes,
      sizeBytes,
      type,
      ...fact("name", name),
      ...fact("label", fileSystem?.label),
      ...fact("uuid", fileSystem?.uuid),
    }));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** A name with control characters in it does not go into a manifest: nobody could write it into a configuration. */
function fact<K extends string>(key: K, value: string | null | undefined): { [P in K]?: string } {
  if (value === null || value === undefined || !/^[^\0-\x1f\x7f]+$/.test(value)) return {};
  return { [key]: value } as { [P in K]: string };
}
