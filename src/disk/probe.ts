/** What blkid finds on a device, read from the device itself: its cache and udev are not asked. */
import { runCommand } from "../system/commands.ts";

/** What a device or a range of a file holds. */
export interface FileSystem {
  /** blkid's TYPE: ext4, xfs, vfat, swap, LVM2_member, crypto_LUKS … */
  readonly type: string;
  readonly label: string | null;
  readonly uuid: string | null;
}

/** A device with the entry of the partition table that it is, if it is one. */
export interface Probe {
  /** Null where blkid knows nothing there, or finds the signatures of several things. */
  readonly fileSystem: FileSystem | null;
  readonly partitionLabel: string | null;
  readonly partitionUuid: string | null;
}

/** A part of a device or a file. */
export interface ByteRange {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/**
 * Probes a device, a file, or a range of either.
 * @throws ReimageError `command` where it cannot be read.
 */
export async function probe(path: string, range?: ByteRange): Promise<Probe> {
  const part = range === undefined ? [] : ["-O", String(range.offsetBytes), "-S", String(range.sizeBytes)];
  const NOTHING_FOUND = 2;
  const AMBIVALENT = 8;
  const { stdout } = await runCommand("blkid", ["-p", "-o", "udev", ...part, path], {
    accept: [NOTHING_FOUND, AMBIVALENT],
  });
  return parseProbe(stdout);
}

/** Parses `blkid -p -o udev`, whose `_ENC` values and partition names have every unsafe byte as `\xHH`. */
export function parseProbe(text: string): Probe {
  const values = new Map<string, string>();
  for (const line of text.split("\n")) {
    const equals = line.indexOf("=");
    if (equals > 0) values.set(line.slice(0, equals), decode(line.slice(equals + 1)));
  }
  const get = (key: string) => values.get(key) || null;
  const type = get("ID_FS_TYPE");
  return {
    fileSystem: type === null ? null : { type, label: get("ID_FS_LABEL_ENC"), uuid: get("ID_FS_UUID_ENC") },
    partitionLabel: get("ID_PART_ENTRY_NAME"),
    partitionUuid: get("ID_PART_ENTRY_UUID"),
  };
}

function decode(value: string): string {
  const latin1 = Buffer.from(value).toString("latin1");
  const bytes = latin1.replace(/\\x([0-9a-fA-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, "latin1").toString();
}
