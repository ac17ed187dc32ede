/** Stage write: the guard, then the image onto the target but for its first MiB, then the readback. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { findFileSystem } from "../disk/find-filesystem.ts";
import { readDisks } from "../disk/inventory.ts";
import { clearBootSectors } from "../image/commit.ts";
import { decoderName } from "../image/decode.ts";
import { readBack } from "../image/readback.ts";
import { writeBody } from "../image/write.ts";
import type { TargetState } from "../report/events.ts";
import { createProgress } from "../report/progress.ts";
import { type StageContext, step } from "./context.ts";
import { keepFile } from "./keep-file.ts";
import { pathIn } from "./mount-point.ts";
import { mountSource } from "./open-source.ts";
import type { Saved } from "./save.ts";
import { guardTarget, openTarget } from "./target.ts";

/** The image is on the target, proven, but for its first MiB, which is in `headPath`. */
export interface Written {
  readonly headPath: string;
  readonly headSha256: string;
  /** sha256 of the whole image: what was read back, and the first MiB from memory. */
  readonly readbackSha256: string;
}

/** @throws ReimageError; before the first write the target is untouched, afterwards partial and not bootable. */
export async function write(saved: Saved, context: StageContext, state: TargetState): Promise<Written> {
  const { image } = saved;
  await using stack = new AsyncDisposableStack();
  const path = await openImage(saved, context, stack);
  const judged = { path, format: image.format, sizeBytes: image.sizeBytes, sha256: image.sha256 };

  const target = await guardTarget(saved.target, state);
  await using device = await openTarget(target);

  context.setTargetState("partial");
  await clearBootSectors(device);
  step(
    context,
    "write",
    `writing to ${target.path}, decoded by ${decoderName(image.format)}; it does not boot until the end`,
  );
  const writing = createProgress(context.reporter, "write", "writing the image", image.sizeBytes);
  const body = await writeBody(judged, device, (bytes) => writing.advance(bytes));
  writing.done();

  const headPath = join(context.workDir, "first-mib");
  keepFile(headPath, body.head);
  const reading = createProgress(context.reporter, "write", "reading it back", image.sizeBytes);
  const readbackSha256 = await readBack(judged, body, device, (bytes) => reading.advance(bytes));
  reading.done();
  step(context, "write", `the disk holds the image: sha256 ${readbackSha256}`);
  return { headPath, headSha256: createHash("sha256").update(body.head).digest("hex"), readbackSha256 };
}

/** The image as a file that can be opened now: in memory, or on another disk that is mounted again. */
async function openImage(saved: Saved, context: StageContext, stack: AsyncDisposableStack): Promise<string> {
  const { location } = saved.image;
  if (location.kind === "file") return location.path;
  const found = await findFileSystem(location.fileSystem, { disks: await readDisks(), code: "image" });
  const mount = stack.use(await mountSource(found.device, context.workDir));
  return await pathIn(mount.directory, location.path);
}
