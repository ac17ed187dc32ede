/** Ways in which an image file goes bad. */
import { readFileSync, writeFileSync } from "node:fs";

/** What each does to a whole bz2 file, and what the refusal says. */
export const damages = {
  "cut by 1 byte": { damage: (file: Buffer) => file.subarray(0, -1), says: /cut off/ },
  "cut by 10 bytes": { damage: (file: Buffer) => file.subarray(0, -10), says: /cut off/ },
  "cut by half": { damage: (file: Buffer) => file.subarray(0, file.length >> 1), says: /cut off/ },
  "with a flipped bit in its header": { damage: (file: Buffer) => flip(file, 1), says: /neither bz2, gz, xz nor zst/ },
  "with a flipped bit in its first block": { damage: (file: Buffer) => flip(file, 5), says: /decode/ },
  "with a flipped bit in its middle": { damage: (file: Buffer) => flip(file, file.length >> 1), says: /decode/ },
  // The last byte may be padding; the CRC of the stream lies in the four bytes before it.
  "with a flipped bit in its last CRC": { damage: (file: Buffer) => flip(file, file.length - 3), says: /decode/ },
  empty: { damage: () => Buffer.alloc(0), says: /is empty/ },
  "with garbage behind it": {
    damage: (file: Buffer) => Buffer.concat([file, Buffer.from("garbage")]),
    says: /no bzip2 stream at byte \d+/,
  },
  "with zeros behind it": {
    damage: (file: Buffer) => Buffer.concat([file, Buffer.alloc(4096)]),
    says: /no bzip2 stream at byte \d+/,
  },
} as const satisfies Record<string, { damage(file: Buffer): Buffer; says: RegExp }>;

export type Damage = keyof typeof damages;

/** The name of the damaged file on the old disk. */
export function nameOf(damage: Damage): string {
  return `${damage.replaceAll(" ", "-")}.bz2`;
}

/** Writes every damaged form of `imageFile` into `directory`. @returns their paths by name */
export function writeDamaged(imageFile: string, directory: string): Record<string, string> {
  const file = readFileSync(imageFile);
  const paths: Record<string, string> = {};
  for (const damage of Object.keys(damages) as Damage[]) {
    const path = `${directory}/${nameOf(damage)}`;
    writeFileSync(path, damages[damage].damage(file));
    paths[nameOf(damage)] = path;
  }
  return paths;
}

/** A copy with one bit changed. */
export function flip(file: Buffer, atByte: number): Buffer {
  const copy = Buffer.from(file);
  copy.writeUInt8(copy.readUInt8(atByte) ^ 0x10, atByte);
  return copy;
}
