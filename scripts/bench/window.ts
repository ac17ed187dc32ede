/**
 * The whole offline window: a virtual kiosk is reimaged by the shell initramfs, and by reimage, from the first line of
 * /init to the reboot. The same machine, kernel, old disk, image, and list of retained files. Needs no root.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { echo } from "zx";
import { fileSystemIn, partitionOf, readFileInside } from "../../test/support/kiosk-vm.ts";
import { startVm, type VmDisk } from "../../test/support/qemu.ts";
import { createOverlay, exportRaw } from "../../test/support/vm-disk.ts";
import { appendConfig } from "../kiosk/append-config.ts";
import { cached, recipeHash, shell } from "../kiosk/cache.ts";
import { kioskConfig } from "../kiosk/config.ts";
import type { Size } from "../kiosk/layouts.ts";
import { type Kiosk, makeKiosk } from "../kiosk/make-kiosk.ts";
import { median } from "./figures.ts";
import { pack } from "./image-files.ts";
import type { WindowFigures } from "./results.ts";
import { makeSeedInitramfs } from "./seed-initramfs.ts";

/** The shell initramfs knows plain paths alone, and none that end in the same name. */
const retained = [
  "/etc/machine-id",
  "/etc/hostname",
  "/etc/ssh/ssh_host_ed25519_key",
  "/etc/ssh/ssh_host_ed25519_key.pub",
  "/var/lib/kiosk/journal.db",
  "/var/lib/kiosk/transaction-counter",
];

/** Far more than any of them takes: a machine that hangs must not hold up everything. */
const timeoutMs = 15 * 60_000;

/** What they say when they are done, and when they have given up. */
const endings = /Restore successful|reimage: success|Error during installation|reimage: failed|Kernel panic/;
const successes = /success/;

/** A way of reimaging the kiosk: what is booted. */
interface Way {
  readonly name: string;
  readonly initrd: string;
  readonly append: string;
}

/** Measures every way `rounds` times, in turn. @throws Error where one does not reimage the kiosk. */
export async function measureWindow(rounds: number, signal: AbortSignal): Promise<WindowFigures> {
  const kiosk = await makeKiosk("debian", "gpt");
  const oldDisk = await addImages(kiosk);
  const folder = mkdtempSync(join(tmpdir(), "reimage-bench-"));
  try {
    const ways = await prepareWays(folder);
    const seconds = new Map<string, number[]>(ways.map(({ name }) => [name, []]));
    for (let round = 1; round <= rounds; round += 1) {
      for (const way of ways) {
        const taken = await reimage(way, kiosk, oldDisk, folder, signal);
        seconds.get(way.name)?.push(taken);
        echo(`round ${round}  offline window, ${way.name.padEnd(18)}${taken.toFixed(1)} s`);
      }
    }
    const tenths = (value: number) => Math.round(value * 10) / 10;
    const summary = (values: readonly number[]) => ({
      median_s: tenths(median(values)),
      min_s: tenths(Math.min(...values)),
      max_s: tenths(Math.max(...values)),
    });
    return { rounds, runs: Object.fromEntries([...seconds].map(([name, values]) => [name, summary(values)])) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * The old disk of the kiosk, which has the image as bz2 and as zst. What `reimage pack --compress keep` makes for the bz2 is
 * added, and the bz2 once more with nothing beside it.
 */
async function addImages({ oldDisk, newImage, layout }: Kiosk): Promise<string> {
  const folder = await cached("bench-window", recipeHash([oldDisk, "2"]), async (partial) => {
    const disk = join(partial, "old.img");
    const packed = join(partial, "os.img.bz2");
    await shell`cp ${newImage}.bz2 ${packed}`;
    await pack([packed, "--compress", "keep"]);
    await shell`cp --sparse=always ${oldDisk} ${disk}`;
    const requests = [
      `write ${packed} /images/bare.img.bz2`,
      `write ${packed}.manifest.json /images/os.img.bz2.manifest.json`,
      `write ${packed}.bmap /images/os.img.bz2.bmap`,
    ];
    const root = fileSystemIn(disk, partitionOf(layout.old.partitions, "root"));
    await shell({ input: `${requests.join("\n")}\n` })`debugfs -w -f - ${root}`;
    await shell`e2fsck -fn ${root}`;
  });
  return join(folder, "old.img");
}

async function prepareWays(folder: string): Promise<readonly Way[]> {
  const size: Size = "debian";
  const seed = join(folder, "seed.img");
  await makeSeedInitramfs(seed, retained);
  const list = retained.map((path) => `${path}\n`).join("");
  const config = { ...kioskConfig(size, "gpt"), "retentionlist.txt": list };
  const first = { "bench-init": { executable: "#!/bin/sh\necho bench: init\nexec /init\n" } };
  const initrd = await appendConfig("build/initramfs.img", config, join(folder, "reimage.img"), first);
  const booted = (file: string) => `rdinit=/bench-init reimage.image.source=LABEL=root:/images/${file}`;
  return [
    { name: "seed", initrd: seed, append: "" },
    { name: "reimage-bz2-bare", initrd, append: booted("bare.img.bz2") },
    { name: "reimage-bz2", initrd, append: booted("os.img.bz2") },
    { name: "reimage-zst", initrd, append: booted("os.img.zst") },
  ];
}

/** One run on a fresh copy of the old disk. Returns its seconds. */
async function reimage(way: Way, kiosk: Kiosk, oldDisk: string, folder: string, signal: AbortSignal): Promise<number> {
  signal.throwIfAborted();
  const disk: VmDisk = { file: join(folder, "kiosk.qcow2"), format: "qcow2", bus: "sata", serial: "BENCH" };
  rmSync(disk.file, { force: true });
  createOverlay(oldDisk, disk.file);
  let start: number | null = null;
  let text = "";
  const onSerial = (piece: string): void => {
    text += piece;
    if (start === null && text.includes("bench: init")) start = performance.now();
  };
  let end: number;
  {
    await using vm = await startVm({
      ...{ firmware: "bios", disks: [disk], kernel: resolve("build/vmlinuz"), initrd: way.initrd, onSerial },
      append: `console=tty0 console=ttyS0,115200 quiet ${way.append}`,
    });
    const endVm = () => void vm.kill();
    signal.addEventListener("abort", endVm, { once: true });
    const [ending] = await vm.waitForSerial(endings, timeoutMs);
    if (!successes.test(ending)) throw new Error(`${way.name}: ${ending}:\n${text.slice(-2000)}`);
    await vm.waitForExit(timeoutMs); // it reboots, which ends this machine
    signal.removeEventListener("abort", endVm);
    end = performance.now();
  }
  if (start === null) throw new Error(`${way.name} never came to its /init:\n${text.slice(-2000)}`);
  await requireRetained(kiosk, oldDisk, disk, join(folder, "after.img"), way.name);
  return (end - start) / 1000;
}

/** @throws Error where the kiosk is not itself any more. */
async function requireRetained(
  { layout }: Kiosk,
  oldDisk: string,
  disk: VmDisk,
  after: string,
  name: string,
): Promise<void> {
  exportRaw(disk, after);
  for (const path of retained) {
    const before = await readFileInside(oldDisk, partitionOf(layout.old.partitions, "root"), path);
    const found = await readFileInside(after, partitionOf(layout.new.partitions, "root"), path);
    if (before === "" || before !== found) throw new Error(`${name} did not bring ${path} back`);
  }
  rmSync(after);
}
