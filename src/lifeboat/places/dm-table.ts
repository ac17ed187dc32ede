/** The table of a device-mapper device (linux/dm-ioctl.h), by its ioctl: no command of the old OS is relied on. */
import { open } from "node:fs/promises";
import { describeError, ReimageError } from "../../errors.ts";
import { ioctl } from "../../system/libc.ts";

const DM_TABLE_STATUS = 0xc138fd0c;
const STATUS_TABLE_FLAG = 1 << 4;
const BUFFER_FULL_FLAG = 1 << 8;
const headerBytes = 312;
const targetBytes = 40;
const mapSectorBytes = 512; // whatever the disks have
const OFFSET = { dataBytes: 12, dataStart: 16, targetCount: 20, flags: 28, device: 40 } as const;

/** A line of the table: a stretch of the device, and what it is made of. */
export interface DmTarget {
  readonly startBytes: number;
  readonly sizeBytes: number;
  /** linear, crypt, striped, thin … */
  readonly type: string;
  readonly parameters: string;
}

/**
 * The table of the device-mapper device `major:minor`.
 * @throws ReimageError `lifeboat` where the kernel does not tell it.
 */
export async function readDmTable(deviceNumber: string): Promise<DmTarget[]> {
  try {
    await using control = await open("/dev/mapper/control", "r+");
    for (let sizeBytes = 16384; ; sizeBytes *= 4) {
      const request = tableRequest(deviceNumber, sizeBytes);
      ioctl(control.fd, DM_TABLE_STATUS, request, "DM_TABLE_STATUS");
      const targets = parseDmTable(request);
      if (targets !== null) return targets;
    }
  } catch (error) {
    throw new ReimageError("lifeboat", `the table of device-mapper device ${deviceNumber}: ${describeError(error)}`, {
      cause: error,
    });
  }
}

/** The argument of DM_TABLE_STATUS (pure). */
export function tableRequest(deviceNumber: string, sizeBytes: number): Buffer {
  const [major = 0, minor = 0] = deviceNumber.split(":").map(Number);
  const request = Buffer.alloc(sizeBytes);
  request.writeUInt32LE(4, 0); // the version of the interface
  request.writeUInt32LE(sizeBytes, OFFSET.dataBytes);
  request.writeUInt32LE(headerBytes, OFFSET.dataStart);
  request.writeUInt32LE(STATUS_TABLE_FLAG, OFFSET.flags);
  const encoded = ((minor & ~0xff) << 12) | (major << 8) | (minor & 0xff); // huge_encode_dev() of the kernel
  request.writeBigUInt64LE(BigInt(encoded >>> 0), OFFSET.device);
  return request;
}

/** Parses the answer (pure). Null where it did not fit. @throws ReimageError `lifeboat` where it contradicts itself. */
export function parseDmTable(answer: Buffer): DmTarget[] | null {
  if ((answer.readUInt32LE(OFFSET.flags) & BUFFER_FULL_FLAG) !== 0) return null;
  const dataStart = answer.readUInt32LE(OFFSET.dataStart);
  const targets: DmTarget[] = [];
  let at = dataStart;
  for (let left = answer.readUInt32LE(OFFSET.targetCount); left > 0; left -= 1) {
    if (at < headerBytes || at + targetBytes > answer.length) throw contradiction();
    const text = answer.toString("latin1", at + targetBytes);
    const end = text.indexOf("\0");
    if (end < 0) throw contradiction();
    targets.push({
      startBytes: Number(answer.readBigUInt64LE(at)) * mapSectorBytes,
      sizeBytes: Number(answer.readBigUInt64LE(at + 8)) * mapSectorBytes,
      type: answer.toString("latin1", at + 24, at + targetBytes).split("\0", 1)[0] ?? "",
      parameters: text.slice(0, end),
    });
    at = dataStart + answer.readUInt32LE(at + 20); // counted from where the data begins
  }
  return targets;
}

/** What a `linear` target lies on (pure); null where the parameters are none of its own. */
export function parseLinear(
  parameters: string,
): { readonly deviceNumber: string; readonly offsetBytes: number } | null {
  const [, deviceNumber, sectors] = /^(\d+:\d+) (\d+)$/.exec(parameters.trim()) ?? [];
  if (deviceNumber === undefined || sectors === undefined) return null;
  return { deviceNumber, offsetBytes: Number(sectors) * mapSectorBytes };
}

function contradiction(): ReimageError {
  return new ReimageError("lifeboat", "the kernel's table of a device-mapper device contradicts itself", {
    hint: "this is a defect in reimage; please report it with the output of dmsetup table",
  });
}
