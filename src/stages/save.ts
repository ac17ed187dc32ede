/** Stage save: judges everything, then holds the image and the retained files in memory. Writes to no disk. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import type { Disk } from "../disk/inventory.ts";
import type { PartitionTable } from "../disk/partition-table.ts";
import type { ImageFormat } from "../image/formats.ts";
import { createProgress } from "../report/progress.ts";
import { archiveRetained, type RetainedArchive, verifyArchive } from "../retention/archive.ts";
import { readSavedPermissions } from "../retention/saved-permissions.ts";
import { type StageContext, step } from "./context.ts";
import { type KeptPlan, keepPlan } from "./image-plan.ts";
import { judge } from "./judge.ts";
import type { ImageLocation } from "./open-source.ts";

/** All that the rest of the run needs. Plain data: it is kept across a crash of this process. */
export interface Saved {
  readonly target: Disk;
  readonly image: {
    readonly location: ImageLocation;
    readonly format: ImageFormat;
    readonly compressedSizeBytes: number;
    readonly sizeBytes: number;
    readonly sha256: string;
    readonly imageId: string;
    /** The manifest's counter of releases; null where there is no manifest. */
    readonly version: number | null;
    readonly plan: KeptPlan;
  };
  readonly table: PartitionTable;
  /** Null for a machine without an old OS. */
  readonly archive: RetainedArchive | null;
}

/** @throws ReimageError for everything that would not end well; no disk has been changed then. */
export async function save(config: Config, context: StageContext): Promise<Saved> {
  await using judged = await judge(config, context, { copy: true, parks: false, memoryDir: context.workDir });
  const { image, oldOs, retained, target } = judged;
  let archive: RetainedArchive | null = null;
  if (oldOs !== null && retained !== null) {
    const progress = createProgress(context.reporter, "save", "saving the retained files", retained.totalBytes);
    archive = await archiveRetained(retained, oldOs.root, join(context.workDir, "retained.tar"), {
      onProgress: (bytes) => progress.advance(bytes),
    });
    progress.done();
    await verifyArchive(archive);
    appendFileSync(join(context.workDir, "savedperms"), await readSavedPermissions(archive));
    step(context, "save", `${archive.count} files and directories are retained, ${archive.contentBytes} bytes`);
  }
  const { location, format, compressedSizeBytes, sizeBytes, sha256, imageId, version, table } = image;
  const plan = keepPlan(context.workDir, image);
  const kept = { location, format, compressedSizeBytes, sizeBytes, sha256, imageId, version, plan };
  return { target, image: kept, table, archive };
}
