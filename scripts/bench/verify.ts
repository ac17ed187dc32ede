/** Whether a device holds an image: every contender has to prove once that its time was worth something. */
import { type FileHandle, open } from "node:fs/promises";

/** A stretch of both. */
export interface Stretch {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

const stepBytes = 4 << 20;

/** @throws Error naming the first bytes of `stretches` that differ. */
export async function verifyContent(image: string, device: string, stretches: readonly Stretch[]): Promise<void> {
  await using wanted = await open(image, "r");
  await using found = await open(device, "r");
  const buffers = [Buffer.alloc(stepBytes), Buffer.alloc(stepBytes)] as const;
  for (const { offsetBytes, sizeBytes } of stretches) {
    for (let done = 0; done < sizeBytes; done += stepBytes) {
      const at = offsetBytes + done;
      const lengthBytes = Math.min(stepBytes, sizeBytes - done);
      const [left, right] = await Promise.all([
        readWhole(wanted, buffers[0].subarray(0, lengthBytes), at),
        readWhole(found, buffers[1].subarray(0, lengthBytes), at),
      ]);
      if (!left.equals(right))
        throw new Error(`${device} does not hold ${image} at bytes ${at} to ${at + lengthBytes}`);
    }
  }
}

async function readWhole(file: FileHandle, buffer: Buffer, atBytes: number): Promise<Buffer> {
  for (let done = 0; done < buffer.length; ) {
    const { bytesRead } = await file.read(buffer, done, buffer.length - done, atBytes + done);
    if (bytesRead === 0) throw new Error(`a file ended at byte ${atBytes + done}`);
    done += bytesRead;
  }
  return buffer;
}
