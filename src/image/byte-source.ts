/** Where the bytes of a compressed image come from: one interface over files and servers, so that decoding sees no difference. */
import { type FileHandle, open } from "node:fs/promises";
import { ReimageError } from "../errors.ts";

/** An image file that can be read from any offset, as often as needed. */
export interface ByteSource extends AsyncDisposable {
  /** As the operator calls it, for messages. */
  readonly name: string;
  readonly sizeBytes: number;
  /**
   * Exactly the bytes from `offsetBytes` to `offsetBytes + sizeBytes`, in order, in pieces of any size. A piece is valid
   * until the next one is asked for. Ending the iteration early ends the reading.
   * @throws ReimageError `image` where a byte cannot be had, naming the byte; never hands out fewer bytes in silence.
   */
  read(offsetBytes: number, sizeBytes: number): AsyncIterable<Uint8Array>;
}

const pieceBytes = 1 << 20;

/**
 * Opens a file as a source.
 * @throws ReimageError `image` where it cannot be opened or is no file.
 */
export async function openFileSource(path: string, name: string): Promise<ByteSource> {
  const handle = await open(path, "r").catch((cause) => {
    throw new ReimageError("image", `image ${name} cannot be opened`, {
      cause,
      hint: "check image.source, and that the image is where it says",
    });
  });
  const stats = await handle.stat();
  if (!stats.isFile()) {
    await handle.close();
    throw new ReimageError("image", `image ${name} is not a file`, { hint: "check image.source" });
  }
  return {
    name,
    sizeBytes: stats.size,
    read: (offsetBytes, sizeBytes) => readFilePieces(handle, name, offsetBytes, sizeBytes),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

async function* readFilePieces(handle: FileHandle, name: string, offsetBytes: number, sizeBytes: number) {
  const buffer = Buffer.alloc(Math.min(pieceBytes, sizeBytes));
  const hint = "copy the image again and compare its size and digest with the original; test the medium that holds it";
  for (let done = 0; done < sizeBytes; ) {
    const at = offsetBytes + done;
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, sizeBytes - done), at).catch((cause) => {
      throw new ReimageError("image", `image ${name} cannot be read at byte ${at}`, { cause, hint });
    });
    if (bytesRead === 0) throw new ReimageError("image", `image ${name} ended at byte ${at}`, { hint });
    yield buffer.subarray(0, bytesRead);
    done += bytesRead;
  }
}
