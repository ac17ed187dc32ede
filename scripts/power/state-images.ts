/** Makes disks in crash states: an image that moves along the log, and copies of it. */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { shell } from "../kiosk/cache.ts";
import type { CrashState, History } from "./crash-states.ts";
import { stepsOf } from "./fingerprints.ts";

/** What the writes of a history wrote. */
export type Written = (write: number) => Buffer;

export interface StateImages extends Disposable {
  /** Makes the disk of a state at `path`, sparse. States must come in the order of their epochs. */
  make(state: CrashState, path: string): Promise<void>;
}

/** @param rolling a sparse copy of the disk before the run, which is changed. */
export function openStateImages(history: History, written: Written, rolling: string): StateImages {
  const fd = openSync(rolling, "r+");
  let done = 0; // writes that the image has
  const advance = (epoch: number): void => {
    const until = history.epochs[epoch]?.from;
    if (until === undefined || until < done)
      throw new Error(`the image cannot go to epoch ${epoch} from write ${done}`);
    for (; done < until; done += 1) writeSparse(fd, written(done), history.writes[done]?.offsetBytes ?? 0);
  };
  return {
    async make(state, path) {
      advance(state.epoch);
      await shell`cp --sparse=auto --reflink=auto ${rolling} ${path}`;
      const copy = openSync(path, "r+");
      try {
        for (const { write, runs } of stepsOf(state)) {
          const data = written(write);
          const offsetBytes = history.writes[write]?.offsetBytes ?? 0;
          const size = history.sectorSizeBytes;
          for (const { from, to } of runs ?? [{ from: 0, to: data.length / size }])
            writeSparse(copy, data.subarray(from * size, to * size), offsetBytes + from * size);
        }
      } finally {
        closeSync(copy);
      }
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}

const zeros = Buffer.alloc(1 << 20);

/** Writes, but leaves a hole a hole where zeros are written over it. */
function writeSparse(fd: number, data: Buffer, offsetBytes: number): void {
  for (let done = 0; done < data.length; ) {
    const piece = data.subarray(done, done + zeros.length);
    const isNothingNew = piece.equals(zeros.subarray(0, piece.length)) && isZero(fd, piece.length, offsetBytes + done);
    done += isNothingNew ? piece.length : writeSync(fd, piece, 0, piece.length, offsetBytes + done);
  }
}

function isZero(fd: number, lengthBytes: number, offsetBytes: number): boolean {
  const old = Buffer.alloc(lengthBytes);
  return readSync(fd, old, 0, lengthBytes, offsetBytes) === lengthBytes && old.equals(zeros.subarray(0, lengthBytes));
}
