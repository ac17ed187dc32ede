/**
 * Promise 1, judge first: everything that can be judged about a run, while nothing has been written anywhere but to the
 * work directory. Stage save keeps what this returns; `reimage plan` prints it.
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { checkUnused, chooseTarget, parseSwaps } from "../disk/guard.ts";
import { type Disk, deviceToDisks } from "../disk/inventory.ts";
import { type Mount, mountReadOnly, parseMountInfo } from "../disk/mounts.ts";
import type { PartitionTable } from "../disk/partition-table.ts";
import { ReimageError } from "../errors.ts";
import { decoderThreads } from "../image/decode.ts";
import { type InspectedImage, inspectImage } from "../image/inspect.ts";
import type { Manifest } from "../image/manifest.ts";
import { type OutlinedPartition, probePartitions } from "../image/outline.ts";
import { requirePartitions, requireTable } from "../image/requirements.ts";
import { createProgress } from "../report/progress.ts";
import { parseRetentionList } from "../retention/list.ts";
import { openRootedDirectory } from "../retention/rooted.ts";
import { type RetainedSelection, selectRetained } from "../retention/select.ts";
import { type MemoryFacts, type MemoryNeed, readMemory, requireMemory } from "../system/memory.ts";
import { type StageContext, step, warn } from "./context.ts";
import { type ImageSource, readManifest, resolveSource } from "./image-source.ts";
import { type Located, locate } from "./locate.ts";
import { mountOldOs, type OldOs, readBootInfo } from "./old-os.ts";

/** Where the image is read from during the write. */
export type ImageLocation =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "filesystem"; readonly fileSystem: string; readonly path: string };

/** What was judged good. The old OS stays mounted until this is disposed. */
export interface Judgement extends AsyncDisposable {
  readonly target: Disk;
  readonly otherDisks: readonly Disk[];
  readonly oldOs: OldOs | null;
  readonly image: InspectedImage & { readonly location: ImageLocation; readonly table: PartitionTable };
  readonly isSigned: boolean;
  readonly hasManifest: boolean;
  readonly partitions: readonly OutlinedPartition[];
  readonly retained: RetainedSelection | null;
  readonly memory: { readonly need: MemoryNeed; readonly facts: MemoryFacts };
}

/** What this program takes beyond the image and the files: buffers, and lbzip2's for each of its threads. Measured. */
const workingSetBytes = (64 + 16 * decoderThreads) << 20;

/**
 * Judges the whole run. Retained files are not copied yet; the image is copied into the work directory where it lies on
 * the target and `copy` is set, so that what is judged is what will be written.
 * @throws ReimageError for everything that would not end well.
 */
export async function judge(config: Config, context: StageContext, copy: boolean): Promise<Judgement> {
  const source = resolveSource(config.image.source);
  const rules = readRetentionList(config);
  await using stack = new AsyncDisposableStack();
  const located = stack.use(await locate(config, source, context.waitSeconds));
  const oldOs = await mountOldOs(located, context.workDir);
  if (oldOs !== null) stack.use(oldOs);

  const target = await judgeTarget(config, located, oldOs, context);
  const { manifest, path: imagePath } = await openSource(config, source, located, context, stack);
  const retained = oldOs === null ? null : await selectRetained(oldOs.root, rules);
  for (const warning of retained?.warnings ?? []) warn(context, "save", warning);
  for (const missing of retained?.missing ?? []) warn(context, "save", `${missing}: nothing in the old OS matches it`);

  const isOnTarget = await liesOn(located, target);
  const memory = {
    need: {
      imageBytes: isOnTarget ? await sizeOf(imagePath, config.image.source) : 0,
      retainedBytes: retained?.totalBytes ?? 0,
      workingSetBytes,
    },
    facts: await readMemory(context.workDir),
  };
  requireMemory(memory.need, memory.facts, context.workDir);
  if (manifest !== null) requireHardware(manifest, target, memory.facts);

  const copyPath = join(context.workDir, "image");
  const image = await inspectImage({
    path: imagePath,
    name: config.image.source,
    copyTo: isOnTarget && copy ? copyPath : null,
    manifest,
    target,
    startProgress: (what, totalBytes) => createProgress(context.reporter, "save", what, totalBytes),
  });
  const { outline } = image;
  requireTable(outline, config.image.source, image.sizeBytes, target);
  const partitions = await probePartitions(outline, join(context.workDir, "outline"));
  requirePartitions(partitions, wantedPartitions(config), config.image.source);

  const kept = stack.move();
  return {
    target,
    otherDisks: located.disks.filter((disk) => disk.name !== target.name),
    oldOs,
    image: {
      ...image,
      table: outline.table,
      location:
        isOnTarget || source.kind === "file" ? { kind: "file", path: isOnTarget ? copyPath : imagePath } : source,
    },
    isSigned: existsSync(config.image.publicKey),
    hasManifest: manifest !== null,
    partitions,
    retained,
    memory,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function readRetentionList(config: Config) {
  const { list } = config.retention;
  if (list === null) return [];
  if (config.old.root === "none") {
    throw new ReimageError("config", "retention.list is set, and old.root is none: there is nothing to retain from", {
      hint: "set old.root to the old root file system, or remove retention.list",
    });
  }
  try {
    return parseRetentionList(readFileSync(list, "utf8"), list);
  } catch (cause) {
    if (cause instanceof ReimageError) throw cause;
    throw new ReimageError("retention-list", `the retention list ${list} cannot be read`, {
      cause,
      hint: "check retention.list, and that the file is in the initramfs",
    });
  }
}

async function judgeTarget(
  config: Config,
  located: Located,
  oldOs: OldOs | null,
  context: StageContext,
): Promise<Disk> {
  const target = chooseTarget(located.disks, config.target.disk, {
    oldRootDisk: located.oldRoot?.disk ?? null,
    bootInfo: await readBootInfo(oldOs),
  });
  // Our own mounts and volume groups are gone before the write; the full check is made again then.
  const ours = join(context.workDir, "mnt");
  const mounts = parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));
  const foreign = mounts.filter((mount) => mount.mountPoint !== ours && !mount.mountPoint.startsWith(`${ours}/`));
  const holders = target.holders.filter((holder) => !located.ownHolders.includes(holder));
  checkUnused({ ...target, holders }, foreign, parseSwaps(readFileSync("/proc/swaps", "utf8")));
  step(
    context,
    "save",
    `the target is ${target.path}, ${target.model ?? "no model"}, serial ${target.serial ?? "unknown"}`,
  );
  return target;
}

async function openSource(
  config: Config,
  source: ImageSource,
  located: Located,
  context: StageContext,
  stack: AsyncDisposableStack,
): Promise<{ manifest: Manifest | null; path: string }> {
  if (source.kind === "file") return { manifest: readManifest(config, source, "/"), path: source.path };
  const mount = stack.use(await mountSource(located.imageFileSystem?.device ?? "", context.workDir));
  return { manifest: readManifest(config, source, mount.directory), path: await pathIn(mount.directory, source.path) };
}

/** Mounts the file system that holds the image. */
export async function mountSource(device: string, workDir: string): Promise<Mount> {
  const directory = join(workDir, "mnt", "source");
  mkdirSync(directory, { recursive: true });
  return await mountReadOnly(device, directory);
}

/** A path inside a mounted file system, whose symbolic links cannot lead outside. */
export async function pathIn(root: string, path: string): Promise<string> {
  await using directory = await openRootedDirectory(root);
  const inside = await directory.resolve(path);
  return join(root, inside?.toString() ?? path);
}

/** Whether the image lies on the disk that will be overwritten. */
async function liesOn(located: Located, target: Disk): Promise<boolean> {
  if (located.imageFileSystem === null) return false;
  return (await deviceToDisks(located.imageFileSystem.device)).includes(target.name);
}

async function sizeOf(path: string, name: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (cause) {
    throw new ReimageError("image", `image ${name} is not there`, { cause, hint: "check image.source" });
  }
}

function requireHardware(manifest: Manifest, target: Disk, memory: MemoryFacts): void {
  if (manifest.sectorSizeBytes !== target.sectorSizeBytes) {
    throw new ReimageError(
      "image",
      `the image was made for sectors of ${manifest.sectorSizeBytes} bytes, the target disk has sectors of ${target.sectorSizeBytes}`,
      { hint: `use an image that was made for sectors of ${target.sectorSizeBytes} bytes` },
    );
  }
  if (manifest.leastDiskBytes !== undefined && target.sizeBytes < manifest.leastDiskBytes) {
    throw new ReimageError(
      "too-small",
      `the image asks for a disk of ${manifest.leastDiskBytes} bytes; ${target.path} has ${target.sizeBytes}`,
      { hint: "use a larger disk, or an image for smaller ones" },
    );
  }
  if (manifest.leastRamBytes !== undefined && memory.availableBytes < manifest.leastRamBytes) {
    throw new ReimageError(
      "memory",
      `the image asks for ${manifest.leastRamBytes} bytes of memory; ${memory.availableBytes} are available`,
      { hint: "use a machine with more memory, or an image that asks for less" },
    );
  }
}

function wantedPartitions(config: Config) {
  const mounts = Object.entries(config.new.mounts).map(([mountPoint, spec]) => ({
    key: `new.mounts.${mountPoint}`,
    spec,
  }));
  return [{ key: "new.root", spec: config.new.root }, ...mounts];
}
