/** The end of a file that arrives piece by piece: its last bytes, but for the zeros behind them. */
import { ReimageError } from "../../errors.ts";

/** The last bytes that are seen: a gz trailer is this long, and no footer of another format that is looked at is longer. */
export const tailBytes = 8;

/** What is known of the end so far. */
export interface Tail {
  update(piece: Uint8Array): void;
  readonly sizeBytes: number;
  /** How many zeros the file ends with. */
  readonly zeroBytes: number;
  /** Up to `tailBytes` bytes that end with the last one that is not zero. */
  readonly last: Buffer;
}

export function createTail(): Tail {
  let sizeBytes = 0;
  let zeroBytes = 0;
  let last = Buffer.alloc(0);
  return {
    update(piece) {
      sizeBytes += piece.length;
      let end = piece.length;
      while (end > 0 && piece[end - 1] === 0) end -= 1;
      if (end === 0) {
        zeroBytes += piece.length;
        return;
      }
      const before = [last, Buffer.alloc(Math.min(zeroBytes, tailBytes))];
      last = Buffer.concat([...before, piece.subarray(Math.max(0, end - tailBytes), end)]).subarray(-tailBytes);
      zeroBytes = piece.length - end;
    },
    get sizeBytes() {
      return sizeBytes;
    },
    get zeroBytes() {
      return zeroBytes;
    },
    get last() {
      return last;
    },
  };
}

const hint = "copy the image again and compare its size with the original; pack it again if the original is the same";

/** The refusal of a file that goes on behind its last stream. `stream` is what the format calls one. */
export function somethingBehind(name: string, stream: string, endBytes: number, sizeBytes: number): ReimageError {
  return new ReimageError(
    "image",
    `image ${name} has something behind its end: its last ${stream} ends at byte ${endBytes} of ${sizeBytes}`,
    { hint },
  );
}

/** The refusal of a file whose last stream does not end. `where` says what is missing. */
export function cutOff(name: string, where: string): ReimageError {
  return new ReimageError("image", `image ${name} is cut off: ${where}`, { hint });
}

/** The refusal of a file that cannot be one of its format. */
export function damaged(name: string, where: string): ReimageError {
  return new ReimageError("image", `image ${name} is damaged: ${where}`, { hint });
}
