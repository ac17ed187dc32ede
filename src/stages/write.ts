/** Stage write: the image onto the target but for its first MiB, then the readback. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import type { BlockDevice } from "../disk/block-device.ts";
import { ReimageError } from "../errors.ts";
import { decoderName } from "../image/decode.ts";
import { readBack, readbackError } from "../image/readback.ts";
import { overlapsAny, type Region } from "../image/regions.ts";
import { type JudgedImage, type WrittenBody, writePieces } from "../image/write.ts";
import { requireJudgedTable } from "../image/written-table.ts";
import { readAsZero, writeZeros, zeroRegions } from "../image/zeros.ts";
import type { TargetState } from "../report/events.ts";
import { createProgress } from "../report/progress.ts";
import { type StageContext, step, warn } from "./context.ts";
import { readPlan } from "./image-plan.ts";
import { keepFile } from "./keep-file.ts";
import { reopenSource } from "./open-source.ts";
import type { Saved } from "./save.ts";
import { guardTarget, openTarget } from "./target.ts";

/** The image is on the target, proven, but for its first MiB, which is in `headPath`. */
export interface Written {
  readonly headPath: string;
  readonly headSha256: string;
  /** Of what was read back, the first MiB being taken from memory; see `Readback` of image/readback.ts. */
  readonly readbackSha256: string;
}

/** @throws ReimageError; before the first write the target is untouched, afterwards partial and not bootable. */
export async function write(config: Config, saved: Saved, context: StageContext, state: TargetState): Promise<Written> {
  await using stack = new AsyncDisposableStack();
  const image = await openJudged(config, saved, context, stack);
  const target = await guardTarget(saved.target, state);
  await using device = await openTarget(target);

  await context.setTargetState("partial");
  await context.bootSectors.beginWriting(device, saved.table);
  const meanwhile = context.lifeboat === null ? "it does not boot until the end" : "a power cut leads back to here";
  step(context, "write", `writing to ${target.path}, ${decoderName(image.format)}; ${meanwhile}`);
  requireOutside(context.bootSectors.keep, image.zeros);
  if (image.zeros.length > 0)
    await withProgress(context, "clearing what the image leaves out", image.zeros, zeroRegions, device);
  const body = await writeBody(image, device, context);
  const headPath = join(context.workDir, "first-mib");
  keepFile(headPath, body.head);
  const readbackSha256 = await prove(image, body, device, context);
  await requireJudgedTable(saved.table, body.head, device, image.source.name);
  step(context, "write", `the disk holds the image: sha256 ${readbackSha256}`);
  return { headPath, headSha256: createHash("sha256").update(body.head).digest("hex"), readbackSha256 };
}

/** The image as it was judged, open to be read again. */
async function openJudged(
  config: Config,
  saved: Saved,
  context: StageContext,
  stack: AsyncDisposableStack,
): Promise<JudgedImage> {
  const { location, format, compressedSizeBytes, sizeBytes, sha256, plan } = saved.image;
  const source = await reopenSource(config, location, context, stack);
  if (source.sizeBytes !== compressedSizeBytes) {
    throw new ReimageError(
      "image",
      `image ${source.name} has ${source.sizeBytes} bytes now; when it was judged it had ${compressedSizeBytes}`,
      { hint: "let nobody change the image while a machine is reimaged, and start again" },
    );
  }
  return { source, format, sizeBytes, sha256, ...readPlan(plan) };
}

async function writeBody(image: JudgedImage, device: BlockDevice, context: StageContext): Promise<WrittenBody> {
  const progress = createProgress(context.reporter, "write", "writing the image", totalBytes(image.pieces));
  const onProgress = (bytes: number) => progress.advance(bytes);
  const body = await writePieces(image, image.pieces, device, { skip: context.bootSectors.keep, onProgress });
  progress.done();
  return body;
}

/** Reads everything back. What reads back wrong is written once more, and then all of it read back again. */
async function prove(
  image: JudgedImage,
  body: WrittenBody,
  device: BlockDevice,
  context: StageContext,
): Promise<string> {
  const read = async () => {
    const progress = createProgress(context.reporter, "write", "reading it back", totalBytes(image.pieces));
    const result = await readBack(image, body, device, (bytes) => progress.advance(bytes));
    progress.done();
    return result;
  };
  let { sha256, wrong } = await read();
  if (wrong.length > 0) {
    warn(context, "write", `${readbackError(device.path, wrong).message}; they are written once more`);
    const { keep } = context.bootSectors;
    await writePieces(image, wrong, device, { skip: keep, writesZeros: true, onProgress: () => {} });
    ({ sha256, wrong } = await read());
    if (wrong.length > 0) throw readbackError(device.path, wrong);
  }
  if (!(await readAsZero(image.zeros, device))) {
    warn(context, "write", `${device.path} does not read as zero where it was told to clear itself; zeros are written`);
    await withProgress(context, "writing zeros", image.zeros, writeZeros, device);
  }
  return sha256;
}

async function withProgress(
  context: StageContext,
  what: string,
  regions: readonly Region[],
  run: (regions: readonly Region[], device: BlockDevice, onProgress: (bytes: number) => void) => Promise<void>,
  device: BlockDevice,
): Promise<void> {
  const progress = createProgress(context.reporter, "write", what, totalBytes(regions));
  await run(regions, device, (bytes) => progress.advance(bytes));
  progress.done();
}

/** What is cleared is written too. The place of the lifeboat was chosen outside of it. */
function requireOutside(keep: readonly Region[], zeros: readonly Region[]): void {
  const touched = zeros.find((region) => overlapsAny(region, keep));
  if (touched === undefined) return;
  throw new ReimageError("bug", `the image has zeros at byte ${touched.offsetBytes}, where the lifeboat lies`);
}

function totalBytes(regions: readonly Region[]): number {
  return regions.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
