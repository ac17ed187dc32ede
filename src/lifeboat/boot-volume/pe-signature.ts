/** Whether a program for UEFI carries a signature (Microsoft's "PE Format", "The Attribute Certificate Table"). Pure. */

const HEADER_OFFSET = 0x3c;
const COFF_HEADER_BYTES = 24;
const CERTIFICATE_TABLE = 4;
const CERTIFICATE_HEADER_BYTES = 8;
const PKCS_SIGNED_DATA = 2;
/** Of the optional header of PE32 and PE32+: where the number of directories is, and then the directories. */
const directoriesOffset: Readonly<Record<number, number>> = { 267: 92, 523: 108 };

/**
 * Whether `data`, a whole PE file, has a signature that is all there. Not whether anybody trusts it: that is what the firmware
 * knows. Anything else than a PE file has none.
 */
export function isSignedPe(data: Buffer): boolean {
  const u16 = (offset: number) => (offset + 2 <= data.length ? data.readUInt16LE(offset) : 0);
  const u32 = (offset: number) => (offset + 4 <= data.length ? data.readUInt32LE(offset) : 0);
  if (data.toString("latin1", 0, 2) !== "MZ") return false;
  const header = u32(HEADER_OFFSET);
  if (data.toString("latin1", header, header + 4) !== "PE\0\0") return false;
  const optional = header + COFF_HEADER_BYTES;
  const count = directoriesOffset[u16(optional)];
  if (count === undefined || u32(optional + count) <= CERTIFICATE_TABLE) return false;
  const directory = optional + count + 4 + CERTIFICATE_TABLE * 8;
  const offsetBytes = u32(directory); // in the file, unlike those of all other directories
  const sizeBytes = u32(directory + 4);
  if (offsetBytes <= directory || sizeBytes <= CERTIFICATE_HEADER_BYTES || offsetBytes + sizeBytes > data.length)
    return false;
  const certificateBytes = u32(offsetBytes);
  const isWhole = certificateBytes > CERTIFICATE_HEADER_BYTES && certificateBytes <= sizeBytes;
  return isWhole && u16(offsetBytes + 6) === PKCS_SIGNED_DATA;
}
