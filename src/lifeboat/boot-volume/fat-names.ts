/** Names in FAT directories: the 8.3 names of DOS, and the entries with the name as it is ("VFAT") before them. Pure. */
import { ReimageError } from "../../errors.ts";

/** Size of an entry of a directory. */
export const DIRECTORY_ENTRY_BYTES = 32;

const LONG_NAME_ATTRIBUTES = 0x0f;
const CHARACTERS_PER_ENTRY = 13;
/** Where the characters of a long name lie in an entry, two bytes each. */
const characterOffsets = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/** A name in a directory, in both forms. */
export interface FatName {
  readonly name: string;
  /** Eleven characters, without the dot. */
  readonly short: string;
  /** Whether `short` does not say all: then it takes further entries. */
  readonly isLong: boolean;
}

/**
 * Gives the names of one directory their 8.3 forms: the name itself in capitals where that fits, and `NAME~1` where not.
 * No two of them may be one but for capitals. Throws ReimageError where a name cannot be on FAT.
 */
export function fatNames(names: readonly string[]): FatName[] {
  for (const name of names) {
    if (!/^[ !#-)+-.0-9;=@-[\]-{}~]{1,255}$/.test(name) || /^\.|[. ]$/.test(name)) {
      throw new ReimageError("lifeboat", `${JSON.stringify(name)} cannot be the name of a file on a FAT file system`);
    }
  }
  const taken = new Set(names.map(plainShortName).filter((short) => short !== null));
  return names.map((name) => {
    const plain = plainShortName(name);
    if (plain !== null) return { name, short: plain, isLong: name !== name.toUpperCase() };
    const short = numberedShortName(name, taken);
    taken.add(short);
    return { name, short, isLong: true };
  });
}

/** Entries of a directory that `name` takes. */
export function entryCount({ name, isLong }: FatName): number {
  return 1 + (isLong ? Math.ceil(name.length / CHARACTERS_PER_ENTRY) : 0);
}

/** The entries with the long name, which come before the one with the short name; none where that says all. */
export function longNameEntries(fatName: FatName): Buffer {
  const count = entryCount(fatName) - 1;
  const entries = Buffer.alloc(count * DIRECTORY_ENTRY_BYTES);
  const checksum = shortNameChecksum(fatName.short);
  for (let number = count; number > 0; number -= 1) {
    const entry = entries.subarray((count - number) * DIRECTORY_ENTRY_BYTES);
    entry[0] = number | (number === count ? 0x40 : 0);
    entry[11] = LONG_NAME_ATTRIBUTES;
    entry[13] = checksum;
    for (const [index, offset] of characterOffsets.entries()) {
      const at = (number - 1) * CHARACTERS_PER_ENTRY + index;
      // The name ends with a zero, if it does not fill the entry; after that come ones.
      const code = at < fatName.name.length ? fatName.name.charCodeAt(at) : at === fatName.name.length ? 0 : 0xffff;
      entry.writeUInt16LE(code, offset);
    }
  }
  return entries;
}

/** The name as 8.3 name, where it has that form but for capitals. */
function plainShortName(name: string): string | null {
  const match = /^([!#-)0-9@A-Z^_`{}~-]{1,8})(?:\.([!#-)0-9@A-Z^_`{}~-]{1,3}))?$/.exec(name.toUpperCase());
  return match === null ? null : (match[1] ?? "").padEnd(8) + (match[2] ?? "").padEnd(3);
}

function numberedShortName(name: string, taken: ReadonlySet<string>): string {
  const clean = (text: string) =>
    text
      .toUpperCase()
      .replace(/[. ]/g, "")
      .replace(/[+,;=[\]]/g, "_");
  const dot = name.lastIndexOf(".");
  const base = clean(dot > 0 ? name.slice(0, dot) : name);
  const extension = clean(dot > 0 ? name.slice(dot + 1) : "").slice(0, 3);
  for (let number = 1; ; number += 1) {
    const tail = `~${number}`;
    const short = (base.slice(0, 8 - tail.length) + tail).padEnd(8) + extension.padEnd(3);
    if (!taken.has(short)) return short;
  }
}

/** Ties the long entries to their short one. */
function shortNameChecksum(short: string): number {
  let sum = 0;
  for (const byte of Buffer.from(short, "latin1")) sum = (((sum & 1) << 7) + (sum >> 1) + byte) & 0xff;
  return sum;
}
