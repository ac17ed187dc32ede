/**
 * The end of an xz file. xz itself is strict about it but for Stream Padding, zeros behind a stream in multiples of four
 * bytes (The .xz File Format, 2.2). Between streams it is left alone; behind the last one it is refused as in any other
 * format: no packer writes it, and a copy that grew is no copy.
 */
import { createTail, cutOff, somethingBehind } from "./tail.ts";

/** A stream ends with these two bytes (2.1.2.4), which are not zero. */
const footerMagic = Buffer.from("YZ");

/** Takes an xz file piece by piece; `finish` throws a ReimageError `image` where it does not end with a stream. */
export function createXzEndScanner(name: string) {
  const tail = createTail();
  return {
    update: tail.update,
    finish(): void {
      const { sizeBytes, zeroBytes, last } = tail;
      if (!last.subarray(-2).equals(footerMagic)) {
        throw cutOff(name, `no xz stream ends where its ${sizeBytes} bytes end, or something lies behind it`);
      }
      if (zeroBytes > 0) throw somethingBehind(name, "xz stream", sizeBytes - zeroBytes, sizeBytes);
    },
  };
}
