/** The ways in which disks lie, for NbdDisk. Sizes and offsets in bytes. */
import type { DiskFaults, NbdDisk } from "./nbd-disk.ts";
import { touches } from "./nbd-disk.ts";

/** Loses the first writes of a byte, and says that they were written. */
export function losesWrites(atByte: number, times: number): DiskFaults {
  let left = times;
  return {
    write(offsetBytes, data) {
      if (left === 0 || !touches(offsetBytes, data.length, atByte)) return "done";
      left -= 1;
      return "ignored";
    },
  };
}

/** Flips a bit of a byte once it has been written, one time. */
export function decays({ content }: NbdDisk, atByte: number): DiskFaults {
  let isSound = true;
  return {
    write(offsetBytes, data) {
      if (!isSound || !touches(offsetBytes, data.length, atByte)) return "done";
      isSound = false;
      content.set(data, offsetBytes);
      content.writeUInt8(content.readUInt8(atByte) ^ 1, atByte);
      return "ignored";
    },
  };
}

/** Has less room than it says: behind its end it begins anew, as forged memory cards do. */
export function wraps({ content }: NbdDisk, realBytes: number): DiskFaults {
  const sectors = (offsetBytes: number, sizeBytes: number) =>
    Array.from({ length: sizeBytes / 512 }, (_, i) => [i * 512, (offsetBytes + i * 512) % realBytes] as const);
  return {
    write(offsetBytes, data) {
      for (const [from, to] of sectors(offsetBytes, data.length)) content.set(data.subarray(from, from + 512), to);
      return "ignored";
    },
    zero(offsetBytes, sizeBytes) {
      for (const [, to] of sectors(offsetBytes, sizeBytes)) content.fill(0, to, to + 512);
      return "ignored";
    },
    read(offsetBytes, data) {
      for (const [to, from] of sectors(offsetBytes, data.length)) data.set(content.subarray(from, from + 512), to);
      return "done";
    },
  };
}
