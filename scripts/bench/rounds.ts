/** Runs the contenders in turn, again and again, so that whatever else happens on the machine happens to all of them. */
import type { BenchFiles, Contender } from "./contenders.ts";
import type { Measurement } from "./figures.ts";
import { type DetailedMeasurement, measure } from "./measure.ts";
import type { BenchTarget } from "./target.ts";
import { type Stretch, verifyContent } from "./verify.ts";

export interface RoundOptions {
  readonly contenders: readonly Contender[];
  readonly rounds: number;
  readonly files: BenchFiles;
  readonly target: BenchTarget;
  /** The mapped ranges of the image, and how large it is. */
  readonly mapped: readonly Stretch[];
  readonly imageSizeBytes: number;
  /** Bytes a second; null for as fast as the device is. */
  readonly speedLimit: number | null;
  readonly signal: AbortSignal;
  onMeasured(contender: Contender, round: number, measurement: DetailedMeasurement): void;
}

/** @returns all measurements, by contender. @throws Error where a contender fails, or leaves the wrong bytes. */
export async function runRounds(options: RoundOptions): Promise<ReadonlyMap<string, Measurement[]>> {
  const { contenders, files, target, signal } = options;
  const results = new Map<string, Measurement[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 1; round <= options.rounds; round += 1) {
    for (const contender of contenders) {
      signal.throwIfAborted();
      target.limitSpeed(null);
      await target.fill();
      await readThrough(files[contender.reads]);
      await target.settle();
      target.limitSpeed(options.speedLimit);
      const measurement = await measure(
        contender.command,
        { ...files, DEV: target.path, BUN: process.execPath },
        signal,
      );
      target.limitSpeed(null);
      results.get(contender.name)?.push(measurement);
      options.onMeasured(contender, round, measurement);
      if (round === 1) await verify(contender, options);
    }
  }
  return results;
}

async function verify({ leaves }: Contender, options: RoundOptions): Promise<void> {
  if (leaves === "no image") return;
  await options.target.settle();
  const whole = [{ offsetBytes: 0, sizeBytes: options.imageSizeBytes }];
  await verifyContent(options.files.IMG, options.target.path, leaves === "image" ? whole : options.mapped);
}

/** Brings a file into the page cache, where the image of a run in an initramfs is. */
async function readThrough(path: string): Promise<void> {
  for await (const _ of Bun.file(path).stream()) {
    // reading is all
  }
}
