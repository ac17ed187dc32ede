/** A disk with a running old system on a loop device, and all that `reimage arm` needs on it. Needs root. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { assembleDisk } from "../../scripts/kiosk/disk-image.ts";
import { readKeptNote } from "../../src/arming/kept-note.ts";
import { readHeaderAt } from "../../src/lifeboat/find.ts";
import type { LifeboatHeader } from "../../src/lifeboat/header.ts";
import { lifeboatRegions } from "../../src/lifeboat/header.ts";
import type { PlaceKind } from "../../src/lifeboat/places/place.ts";
import { type CliProcess, type CliResult, runCli, startCli } from "./cli.ts";
import { makeFileSystem, mountDevice, runTestCommand, temporaryDirectory } from "./loop-device.ts";
import { noise, put } from "./make-disk.ts";
import { makeExt4, partition } from "./micro-kiosk.ts";
import { createOldDisk, type OldDisk, readRaw } from "./old-disk.ts";

const MIB = 1 << 20;
let made = 0;

/** What the image takes of the disk, from its beginning. */
export const armImageMiB = 20;

/** Where the lifeboat shall find room, and how large the parts of the old disk are. */
export interface ArmableOptions {
  readonly place: PlaceKind;
  readonly rootType?: "ext4" | "xfs" | "btrfs";
  readonly table?: "dos" | "gpt";
  readonly rootMiB?: number;
  /** At the end of the disk; 1 unless given. */
  readonly tailMiB?: number;
  readonly mountOptions?: readonly string[];
  /** Gaps between further partitions of 1 MiB, instead of one at the end. */
  readonly gapsMiB?: readonly number[];
  /** Files beside the image, by name. */
  readonly beside?: Readonly<Record<string, string>>;
}

export interface ArmableDisk extends AsyncDisposable {
  readonly disk: OldDisk;
  /** Where the old root is mounted. */
  readonly root: string;
  readonly label: string;
  readonly swap: string;
  /** Not on the disk. */
  readonly folder: string;
  readonly stateDir: string;
  readonly config: string;
  /** The options of `arm` that every call needs. */
  readonly arguments: readonly string[];
  arm(...further: string[]): Promise<CliResult>;
  startArm(...further: string[]): CliProcess;
  disarm(): Promise<CliResult>;
  startDisarm(): CliProcess;
  status(): Promise<CliResult>;
  statusData(): Promise<Record<string, unknown>>;
  /** Every byte, past the page cache of the disk, with what the file system has not written yet. */
  readAll(): Promise<Buffer>;
  /** The same, with the old root unmounted as before a restart. It stays so. */
  readAllAtRestart(): Promise<Buffer>;
  header(): Promise<LifeboatHeader>;
}

/** The image of the new system, for every test of a file. */
export interface ArmImage extends AsyncDisposable {
  readonly folder: string;
  /** zstd */
  readonly image: string;
  readonly raw: string;
}

export async function makeArmImage(): Promise<ArmImage> {
  const temporary = await temporaryDirectory();
  const at = (name: string): string => join(temporary.dir, name);
  const tree = at("tree");
  put(tree, "/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
  put(tree, "/etc/group", "root:x:0:\n");
  put(tree, "/program", noise("program", MIB));
  await makeExt4(at("root.ext4"), "new-root", tree, 12);
  const raw = at("new.img");
  const partitions = [partition(1, 1, 12, "83", at("root.ext4"))];
  await assembleDisk(raw, { table: "mbr", sizeMiB: armImageMiB, partitions });
  await runTestCommand(["zstd", "-q", raw]);
  // The initramfs is looked at by what boots it; here it is only carried along.
  writeFileSync(at("initramfs.img"), noise("initramfs", 2 * MIB));
  return {
    folder: temporary.dir,
    image: `${raw}.zst`,
    raw,
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  };
}

/** Opens a disk whose old root is mounted for writing, as in a running system. */
export async function openArmable(image: ArmImage, options: ArmableOptions): Promise<ArmableDisk> {
  const { place, rootType = "ext4", table = "dos" } = options;
  const rootMiB = options.rootMiB ?? (rootType === "xfs" ? 320 : 120);
  const [swapMiB, gapMiB] = [place === "swap" ? 60 : 2, place === "gap" ? 64 : 0];
  const swapType = table === "dos" ? "82" : "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F";
  const lines = [`label: ${table}`, `start=1MiB, size=${rootMiB}MiB`];
  let endMiB = 1 + rootMiB + swapMiB;
  lines.push(`start=${1 + rootMiB}MiB, size=${swapMiB}MiB, type=${swapType}`);
  for (const sizeMiB of options.gapsMiB ?? []) {
    lines.push(`start=${endMiB + sizeMiB}MiB, size=1MiB`);
    endMiB += sizeMiB + 1;
  }
  if (options.gapsMiB === undefined) endMiB += gapMiB;
  endMiB += options.tailMiB ?? 1;
  made += 1;
  const label = `o${process.pid % 100000}-${made}`;
  const stack = new AsyncDisposableStack();
  try {
    const folder = stack.use(await temporaryDirectory()).dir;
    const disk = stack.use(await createOldDisk(endMiB, `${lines.join("\n")}\n`));
    await runTestCommand(["dd", `of=${disk.path}`, "bs=440", "count=1", "conv=notrunc,fsync", "status=none"], {
      stdin: noise("boot code", 440), // a BIOS starts the old system by it
    });
    const swap = disk.partition(2);
    await makeFileSystem(swap, "swap", { label: "old-swap" });
    stack.defer(async () => {
      if (isSwapOn(swap)) await runTestCommand(["swapoff", swap]);
    });
    await makeRoot(disk.partition(1), rootType, label);
    const mount = stack.use(await mountDevice(disk.partition(1), undefined, options.mountOptions ?? ["noatime"]));
    await fillRoot(mount.dir, image, options.beside ?? {});
    await runTestCommand(["sync", "-f", mount.dir]);

    const config = join(folder, "reimage.yaml");
    writeFileSync(config, armConfig(label, folder));
    writeFileSync(join(folder, "list"), "@required /etc/machine-id\n/etc/hostname\n/var/lib/kiosk\n");
    const stateDir = join(folder, "state");
    mkdirSync(stateDir);
    const state = ["--state", stateDir];
    const common = [
      ...["--config", config, "--kernel", resolve("build/vmlinuz")],
      ...["--initramfs", join(image.folder, "initramfs.img"), ...state],
    ];
    const owned = stack.move();
    const readWhole = async () => readRaw(disk.path, { offsetBytes: 0, sizeBytes: (await disk.read()).sizeBytes });
    const statusOf = (further: readonly string[]) => runCli(["status", ...state, ...further]);
    return {
      ...{ disk, root: mount.dir, label, swap, folder, stateDir, config, arguments: common },
      arm: (...further) => runCli(["arm", ...common, ...further]),
      startArm: (...further) => startCli(["arm", ...common, ...further]),
      disarm: () => runCli(["disarm", ...state]),
      startDisarm: () => startCli(["disarm", ...state]),
      status: () => statusOf([]),
      statusData: async () => JSON.parse((await statusOf(["--json"])).stdout),
      async readAll() {
        await runTestCommand(["sync", "-f", mount.dir]);
        return await readWhole();
      },
      async readAllAtRestart() {
        await mount.unmount();
        return await readWhole();
      },
      async header() {
        const note = readKeptNote(stateDir);
        if (note?.kind !== "lifeboat") throw new Error("there is no note of a lifeboat");
        const header = await readHeaderAt(await disk.read(), note.offsetBytes);
        if (header === null) throw new Error("there is no header");
        return header;
      },
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

export function isSwapOn(device: string): boolean {
  return readFileSync("/proc/swaps", "utf8").includes(`${device} `);
}

/** Where two disks differ, as bytes of 4 KiB, beyond what is allowed to. */
export function differences(
  before: Buffer,
  after: Buffer,
  allowed: readonly { readonly offsetBytes: number; readonly sizeBytes: number }[],
): number[] {
  const [a, b] = [Buffer.from(before), Buffer.from(after)];
  for (const { offsetBytes, sizeBytes } of allowed) {
    for (const disk of [a, b]) disk.fill(0, offsetBytes, offsetBytes + sizeBytes);
  }
  const found: number[] = [];
  for (let at = 0; at < a.length; at += 4096) {
    if (!a.subarray(at, at + 4096).equals(b.subarray(at, at + 4096))) found.push(at);
  }
  return found;
}

/** The lifeboat and the switch sector: what may differ while a disk is armed. */
export function armedRegions(header: LifeboatHeader) {
  const { sectorOffsetBytes: offsetBytes } = header.switching;
  return [...lifeboatRegions(header), { offsetBytes, sizeBytes: header.disk.sectorSizeBytes }];
}

async function makeRoot(device: string, type: "ext4" | "xfs" | "btrfs", label: string): Promise<void> {
  if (type !== "ext4") return await makeFileSystem(device, type, { label });
  // Nothing is initialised later in the background, so that every change of the disk is somebody's.
  const still = "lazy_itable_init=0,lazy_journal_init=0";
  await runTestCommand(["mkfs.ext4", "-q", "-F", "-b", "4096", "-E", still, "-L", label, device]);
}

async function fillRoot(root: string, { image }: ArmImage, beside: Readonly<Record<string, string>>): Promise<void> {
  put(root, "/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
  put(root, "/etc/group", "root:x:0:\n");
  put(root, "/etc/machine-id", "0123456789abcdef\n");
  put(root, "/etc/hostname", "old\n");
  put(root, "/var/lib/kiosk/identity", "kiosk-0042\n", 0o600);
  mkdirSync(join(root, "images"));
  await copyFile(image, join(root, "images/os.img.zst"));
  for (const [name, from] of Object.entries(beside)) await copyFile(from, join(root, "images", name));
}

function armConfig(label: string, folder: string): string {
  return `image: { source: "LABEL=${label}:/images/os.img.zst" }
target: { disk: old-root }
old: { root: LABEL=${label} }
new: { root: 1 }
retention: { list: ${join(folder, "list")} }
`;
}
