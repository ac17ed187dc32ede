/**
 * Promise 1, judge first: everything that can be judged about a run, while nothing has been written anywhere but to the
 * work directory. Stage save keeps what this returns; `reimage plan` prints it.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { refuseUnsupported } from "../config/support.ts";
import type { BootInfo } from "../disk/boot-info.ts";
import type { FoundFileSystem } from "../disk/find-filesystem.ts";
import { checkUnused, chooseTarget, parseSwaps } from "../disk/guard.ts";
import type { Disk } from "../disk/inventory.ts";
import { parseMountInfo } from "../disk/mounts.ts";
import type { PartitionTable } from "../disk/partition-table.ts";
import { ReimageError } from "../errors.ts";
import { decoderMemoryBytes } from "../image/decode.ts";
import { type InspectedImage, inspectImage } from "../image/inspect.ts";
import { readMachine, requireHardware } from "../image/manifest/hardware.ts";
import { requireNotOlder } from "../image/manifest/rollback.ts";
import { type OutlinedPartition, probePartitions } from "../image/outline.ts";
import { readFormat } from "../image/read-file.ts";
import { requireDescribed, requirePartitions, requireTable } from "../image/requirements.ts";
import { createProgress } from "../report/progress.ts";
import { parseRetentionList } from "../retention/list.ts";
import { type RetainedSelection, selectRetained } from "../retention/select.ts";
import { missingTools } from "../system/commands.ts";
import { foreseeMemory, type MemoryFacts, type MemoryNeed, readMemory, requireMemory } from "../system/memory.ts";
import { type StageContext, step, warn } from "./context.ts";
import { resolveSource } from "./image-source.ts";
import { type Located, locate } from "./locate.ts";
import { mountOldOs, type OldOs, readBootInfo, readOldFile } from "./old-os.ts";
import { type ImageLocation, openSource } from "./open-source.ts";
import { requireAgreed } from "./overseer.ts";
import type { Vouching } from "./vouching.ts";

/** What was judged good. The old OS stays mounted until this is disposed. */
export interface Judgement extends AsyncDisposable {
  readonly target: Disk;
  readonly otherDisks: readonly Disk[];
  readonly oldOs: OldOs | null;
  /** What the configuration calls the old file systems, and where they are. */
  readonly oldFileSystems: readonly { readonly spec: string; readonly found: FoundFileSystem }[];
  /** The small files that vouch for the image. */
  readonly vouching: Vouching["files"];
  readonly image: InspectedImage & { readonly location: ImageLocation; readonly table: PartitionTable };
  readonly isSigned: boolean;
  readonly hasManifest: boolean;
  readonly partitions: readonly OutlinedPartition[];
  readonly retained: RetainedSelection | null;
  readonly memory: { readonly need: MemoryNeed; readonly facts: MemoryFacts };
}

export interface JudgeOptions {
  /** Whether an image that lies on the target is copied into the work directory. */
  readonly copy: boolean;
  /** Whether the image will be in a lifeboat, so that no memory is needed for it. */
  readonly parks: boolean;
  /** Whose room counts: where the run keeps, or would keep, the image and the retained files. */
  readonly memoryDir: string;
}

/**
 * Judges the whole run. Retained files are not copied yet; the image is copied into the work directory where it lies on
 * the target and `copy` is set, so that what is judged is what will be written.
 * @throws ReimageError for everything that would not end well.
 */
export async function judge(config: Config, context: StageContext, options: JudgeOptions): Promise<Judgement> {
  refuseUnsupported(config, { kexec: false });
  requireTools();
  const source = resolveSource(config.image.source);
  const rules = readRetentionList(config);
  await using stack = new AsyncDisposableStack();
  const located = stack.use(await locate(config, source, context.waitSeconds));
  const oldOs = await mountOldOs(located, context);
  if (oldOs !== null) stack.use(oldOs);

  const bootInfo = await readBootInfo(oldOs);
  const target = judgeTarget(config, located, bootInfo, context);
  const agreed = await context.overseer.agree({
    bootInfo,
    isDiskNamed: config.target.disk.kind === "match" || config.target.disk.named,
    readOldFile: (path) => readOldFile(oldOs, path),
  });
  const opened = await openSource(config, source, located, target, context, stack);
  const { manifest, map, isSigned } = opened;
  if (manifest !== null) {
    const warning = requireNotOlder(manifest, bootInfo, { isSigned, allowOlder: config.image.allowOlder });
    if (warning !== null) warn(context, "save", warning);
  }
  const retained = oldOs === null ? null : await selectRetained(oldOs.root, rules);
  for (const warning of retained?.warnings ?? []) warn(context, "save", warning);
  for (const missing of retained?.missing ?? []) warn(context, "save", `${missing}: nothing in the old OS matches it`);

  if (retained !== null && rules.length > 0 && retained.count === 0) {
    throw new ReimageError(
      "retain",
      `nothing in the old OS (old.root: ${config.old.root}) matches the retention list`,
      {
        hint: "check old.root, old.mounts and the list; to retain nothing at all, leave out retention.list",
      },
    );
  }
  const memory = {
    need: {
      imageBytes: opened.copyReason === null || options.parks ? 0 : opened.source.sizeBytes,
      retainedBytes: retained?.totalBytes ?? 0,
      // What this program takes beyond the image and the files: its buffers, and what the decoder takes.
      workingSetBytes: bufferBytes + decoderMemoryBytes[await readFormat(opened.source)],
    },
    facts: context.isLiving ? await foreseeMemory() : await readMemory(options.memoryDir),
  };
  requireMemory(memory.need, memory.facts, options.memoryDir);
  if (manifest !== null) {
    requireHardware(manifest, { machine: await readMachine(), target, availableBytes: memory.facts.availableBytes });
  }

  const copyTo = opened.copyReason === null ? null : join(context.workDir, "image");
  const image = await inspectImage({
    source: opened.source,
    copyTo: options.copy ? copyTo : null,
    parkedSha256: context.lifeboat?.header.image.sha256 ?? null,
    manifest,
    isSigned,
    isStreamed: opened.location.kind === "url",
    map,
    target,
    startProgress: (what, totalBytes) => createProgress(context.reporter, "save", what, totalBytes),
  });
  requireAgreed(agreed, image);
  const { outline } = image;
  requireTable(outline, opened.source.name, image.sizeBytes, target);
  if (manifest !== null) requireDescribed(outline.table, manifest, opened.source.name);
  const partitions = await probePartitions(outline, join(context.workDir, "outline"));
  requirePartitions(partitions, wantedPartitions(config), opened.source.name);

  const kept = stack.move();
  return {
    target,
    otherDisks: located.disks.filter((disk) => disk.name !== target.name),
    oldOs,
    oldFileSystems: namedFileSystems(config, located),
    vouching: opened.files,
    image: {
      ...image,
      table: outline.table,
      location: copyTo === null || !options.copy ? opened.location : { kind: "file", path: copyTo },
    },
    isSigned,
    hasManifest: manifest !== null,
    partitions,
    retained,
    memory,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function namedFileSystems(config: Config, { oldRoot, oldMounts }: Located): Judgement["oldFileSystems"] {
  const mounts = [...oldMounts].map(([point, found]) => ({ spec: config.old.mounts[point] ?? "", found }));
  return oldRoot === null ? mounts : [{ spec: config.old.root, found: oldRoot }, ...mounts];
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

/** Buffers of the engine, and what the program grows by. */
const bufferBytes = 64 << 20;

function judgeTarget(config: Config, located: Located, bootInfo: BootInfo | null, context: StageContext): Disk {
  const target = chooseTarget(located.disks, config.target.disk, {
    oldRootDisk: located.oldRoot?.disk ?? null,
    bootInfo,
  });
  if (target.readOnly) {
    throw new ReimageError("target", `${target.path} is read-only in the kernel`, {
      hint: `if it is not write-protected itself (a switch, a worn out medium), allow it: blockdev --setrw ${target.path}`,
    });
  }
  const lifeboatDisk = context.lifeboat?.disk ?? target;
  if (lifeboatDisk.deviceNumber !== target.deviceNumber) {
    throw new ReimageError(
      "target",
      `the lifeboat is on ${lifeboatDisk.path}, and the target would be ${target.path}`,
      {
        hint: "disconnect the disk that is a copy of the other one, and arm the machine again",
      },
    );
  }
  // Our own mounts and volume groups are gone before the write; the full check is made again then.
  const ours = join(context.workDir, "mnt");
  const mounts = parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));
  const foreign = mounts.filter((mount) => mount.mountPoint !== ours && !mount.mountPoint.startsWith(`${ours}/`));
  const holders = target.holders.filter((holder) => !located.ownHolders.includes(holder));
  if (!context.isLiving) checkUnused({ ...target, holders }, foreign, parseSwaps(readFileSync("/proc/swaps", "utf8")));
  step(
    context,
    "save",
    `the target is ${target.path}, ${target.model ?? "no model"}, serial ${target.serial ?? "unknown"}`,
  );
  return target;
}

/** @throws ReimageError `command` naming the commands that this system lacks. */
function requireTools(): void {
  const missing = missingTools();
  if (missing.length === 0) return;
  throw new ReimageError("command", `this system lacks ${missing.join(", ")}`, {
    hint: "install them, or add them to the initramfs",
  });
}

function wantedPartitions(config: Config) {
  const mounts = Object.entries(config.new.mounts).map(([mountPoint, spec]) => ({
    key: `new.mounts.${mountPoint}`,
    spec,
  }));
  return [{ key: "new.root", spec: config.new.root }, ...mounts];
}
