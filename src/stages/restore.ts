/** Stage restore: the retained files into the new OS, then the commit that makes the disk boot. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { Config } from "../config/schema.ts";
import { type BootInfo, bootInfoPath, formatBootInfo } from "../disk/boot-info.ts";
import type { Disk } from "../disk/inventory.ts";
import { addPartitions, forgetPartitions, rereadPartitions, verifyPartitions } from "../disk/kernel-partitions.ts";
import { mountReadOnly, mountReadWrite } from "../disk/mounts.ts";
import { asReimageError, ReimageError } from "../errors.ts";
import { createProgress } from "../report/progress.ts";
import { formatReport, type RunReport } from "../report/report-json.ts";
import { type RetainedArchive, verifyArchive } from "../retention/archive.ts";
import { type RestoreSummary, restoreRetained } from "../retention/restore.ts";
import { openRootedDirectory, type RootedDirectory } from "../retention/rooted.ts";
import { verifyRestored } from "../retention/verify-restored.ts";
import { makeBootEntry } from "./boot-entry.ts";
import { describeNewOs } from "./boot-info.ts";
import { type StageContext, step, warn } from "./context.ts";
import { mountNewOs } from "./new-os.ts";
import { handOverName } from "./overseer.ts";
import { eventsPath, logPath, reportFor, reportPath, savedPermissionsPath } from "./record.ts";
import type { Restored } from "./restored.ts";
import type { Saved } from "./save.ts";
import { guardTarget, withTarget } from "./target.ts";
import type { Written } from "./write.ts";

/**
 * @throws ReimageError. Before the commit the disk does not boot then, and can be restored again from what is in memory;
 * after it (`target: complete`) the disk boots, and only the kernel of this run does not know its partitions.
 * @param before what an earlier attempt has restored and proven completely, where only the commit is left to do.
 */
export async function restore(
  config: Config,
  saved: Saved,
  written: Written,
  context: StageContext,
  before: Restored | null,
): Promise<Restored> {
  const { bootSectors } = context;
  const head = readHead(written);
  const target = await guardTarget(saved.target, "partial");
  const { path } = target;
  await withTarget(target, (device) => bootSectors.beginRestoring(device, saved.table));

  let restored = before;
  if (restored === null) {
    await forgetPartitions(path);
    await addPartitions(path, saved.table);
    restored = { retained: await personalise(config, target, saved, written, context) };
    await context.keepRestored(restored);
  }
  await makeBootEntry(target, saved.table, context);
  await withTarget(await guardTarget(saved.target, "partial"), async (device) => {
    step(context, "restore", "committing: the first MiB is written, and the disk boots the new OS from here on");
    await bootSectors.commit(device, head, saved.table);
  });
  await context.setTargetState("complete"); // whatever fails now: the disk boots
  await rereadPartitions(path);
  await verifyPartitions(path, saved.table);
  return restored;
}

/** The first MiB, as it was held back: it is written from here, and from here alone. */
function readHead(written: Written): Buffer {
  const head = readFileSync(written.headPath);
  if (createHash("sha256").update(head).digest("hex") === written.headSha256) return head;
  throw new ReimageError("state", `${written.headPath} does not hold the first MiB of the image any more`, {
    hint: "the memory of this machine is faulty or was changed: test it, and install this machine anew from outside",
  });
}

/**
 * Puts everything into the new OS that makes it this machine, and unmounts it. Then mounts it again, so that the files
 * come from the disk and not from the page cache, and compares them.
 */
async function personalise(
  config: Config,
  target: Disk,
  saved: Saved,
  written: Written,
  context: StageContext,
): Promise<RestoreSummary | null> {
  const { archive } = saved;
  if (archive !== null) await verifyArchive(archive);
  let retained: RestoreSummary | null = null;
  {
    await using newOs = await mountNewOs(config, target, saved.table, context.workDir, mountReadWrite);
    if (archive !== null) retained = await restoreFiles(archive, newOs.root, context);
    await describeRun(config, saved, written, retained, context, newOs.root, newOs.rootDevice);
  } // an unmount that fails means data that did not reach the disk, and throws
  if (archive !== null) {
    await using newOs = await mountNewOs(config, target, saved.table, context.workDir, (device, directory) =>
      mountReadOnly(device, directory, "new-os"),
    );
    await verifyRestored(archive, newOs.root);
    step(context, "restore", "they were read back and are what was saved");
  }
  return retained;
}

async function restoreFiles(archive: RetainedArchive, root: string, context: StageContext): Promise<RestoreSummary> {
  const progress = createProgress(context.reporter, "restore", "restoring the retained files", archive.contentBytes);
  const retained = await restoreRetained(archive, root, { onProgress: (bytes) => progress.advance(bytes) });
  progress.done();
  for (const { path, reason } of retained.failures) warn(context, "restore", `${path}: ${reason}`);
  step(context, "restore", `${retained.count} files and directories are back`);
  return retained;
}

/** Writes boot info and the record of the run into the new OS mounted at `root`. */
async function describeRun(
  config: Config,
  saved: Saved,
  written: Written,
  retained: RestoreSummary | null,
  context: StageContext,
  root: string,
  rootDevice: string,
): Promise<void> {
  let path = bootInfoPath;
  try {
    await using newRoot = await openRootedDirectory(root);
    const { runId } = context;
    const { readbackSha256 } = written;
    const bootInfo = await describeNewOs(newRoot, saved, rootDevice, { runId, readbackSha256 });
    await newRoot.writeFile(path, formatBootInfo(bootInfo));
    if (config.log === null) return;
    // It says success, and stands in the new OS alone: nobody can read it there unless the commit succeeds.
    path = join(config.log, basename(reportPath(context.workDir)));
    const report = reportFor(context.workDir, runId, { outcome: "success" }, saved, written, retained);
    await newRoot.writeFile(path, formatReport(report), 0o600);
    path = config.log;
    await copyRecord(newRoot, path, context.workDir);
    await handOver(report, bootInfo, newRoot, path, context);
  } catch (cause) {
    if (cause instanceof ReimageError) throw cause;
    throw new ReimageError("restore", `cannot write ${path} in the new OS: ${asReimageError(cause).message}`, {
      cause,
      hint: "the image and the retained files are still in memory: make room in the new OS, and start again",
    });
  }
}

/** What the endpoint has not been told yet, for the new OS to tell. That there is no room for it is no reason to fail. */
async function handOver(
  report: RunReport,
  bootInfo: BootInfo,
  newRoot: RootedDirectory,
  directory: string,
  { overseer, reporter }: StageContext,
): Promise<void> {
  const path = join(directory, handOverName);
  try {
    const text = overseer.handOver(report, bootInfo);
    if (text !== null) await newRoot.writeFile(path, text, 0o600);
  } catch (error) {
    const message = `${path} cannot be written in the new OS, which will not report: ${asReimageError(error).message}`;
    reporter.emit({ type: "warning", stage: "restore", message });
  }
}

/** Copies the record of the run into the new OS, as far as it has come. */
async function copyRecord(newRoot: RootedDirectory, directory: string, workDir: string): Promise<void> {
  await newRoot.ensureDirectory(directory);
  for (const source of [logPath, eventsPath, savedPermissionsPath]) {
    const from = source(workDir);
    if (existsSync(from)) await newRoot.copyIn(join(directory, basename(from)), from, 0o600);
  }
}
