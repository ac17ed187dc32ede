/** Sizes as people write them (pure). */

const UNIT_BYTES: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** Bytes of `500107862016`, `500 GB` or `4GiB`; null where it is not a whole number of an exact unit. */
export function parseSize(size: string | number): number | null {
  const match = /^([0-9]+)\s*([A-Za-z]*)$/.exec(String(size).trim());
  const unitBytes = UNIT_BYTES[match?.[2] ?? "?"];
  if (match === null || unitBytes === undefined) return null;
  const sizeBytes = Number(match[1]) * unitBytes;
  return Number.isSafeInteger(sizeBytes) && sizeBytes > 0 ? sizeBytes : null;
}
