/** EFI_LOAD_OPTION (UEFI specification, 3.1.3): the content of a Boot#### variable. Pure. */

/** A boot entry's content. */
export interface LoadOption {
  /** Whether the boot manager may boot it by itself (LOAD_OPTION_ACTIVE). */
  readonly active: boolean;
  /** What the firmware's menu shows. */
  readonly description: string;
  /** A device path, see device-path.ts. */
  readonly devicePath: Buffer;
  /** Handed to the program: the command line, in UTF-16, for a kernel. */
  readonly optionalData: Buffer;
}

const ACTIVE = 1;

/** The content of a variable, or null where it is no load option. Throws nothing. */
export function parseLoadOption(data: Buffer): LoadOption | null {
  if (data.length < 6) return null;
  const pathBytes = data.readUInt16LE(4);
  let end = 6;
  while (end + 2 <= data.length && data.readUInt16LE(end) !== 0) end += 2;
  const pathStart = end + 2;
  if (pathStart + pathBytes > data.length) return null;
  return {
    active: (data.readUInt32LE(0) & ACTIVE) !== 0,
    description: data.toString("utf16le", 6, end),
    devicePath: data.subarray(pathStart, pathStart + pathBytes),
    optionalData: data.subarray(pathStart + pathBytes),
  };
}

/** The variable's content for a boot entry. */
export function formatLoadOption(option: LoadOption): Buffer {
  const header = Buffer.alloc(6);
  header.writeUInt32LE(option.active ? ACTIVE : 0, 0);
  header.writeUInt16LE(option.devicePath.length, 4);
  const description = Buffer.from(`${option.description}\0`, "utf16le");
  return Buffer.concat([header, description, option.devicePath, option.optionalData]);
}
