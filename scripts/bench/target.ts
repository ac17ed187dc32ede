/** The device that is written: a loop device over a fully allocated file, past the page cache of the file system. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { shell } from "../kiosk/cache.ts";

/** A loop device that goes away with its file. */
export interface BenchTarget extends AsyncDisposable {
  readonly path: string;
  /** What it is, in words. */
  readonly description: string;
  /** Fills it with something that is not zero, so that every block of its file is written, and nothing is by chance right. */
  fill(): Promise<void>;
  /** Waits for all that is on its way, and drops its cached pages. */
  settle(): Promise<void>;
  /** Limits its speed, reading and writing each, in bytes a second; null for no limit. False where this kernel cannot. */
  limitSpeed(bytesPerSecond: number | null): boolean;
}

/** Opens a target of `sizeBytes` in `folder`. Needs root. */
export async function openTarget(folder: string, sizeBytes: number): Promise<BenchTarget> {
  const file = join(folder, "target.img");
  await detachLeftovers(file);
  rmSync(file, { force: true });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(file, { force: true }));
  await shell`fallocate -l ${sizeBytes} ${file}`;
  const path = (await shell`losetup --find --show --direct-io=on ${file}`).stdout.trim();
  stack.defer(async () => void (await shell`losetup --detach ${path}`));
  await shell`blockdev --setrw ${path}`; // the kernel keeps this flag of a loop device over detaching
  const name = path.replace("/dev/", "");
  if (readFileSync(`/sys/block/${name}/loop/dio`, "utf8").trim() !== "1") {
    throw new Error(`the file system of ${folder} has no direct I/O; set BENCH_DIR to a folder on another one`);
  }
  const limitSpeed = (bytesPerSecond: number | null) => setLimit(name, bytesPerSecond);
  stack.defer(() => void limitSpeed(null));
  const fileSystem = (await shell`findmnt --noheadings --output FSTYPE,SOURCE --target ${folder}`).stdout.trim();
  const owned = stack.move();
  return {
    path,
    description: `loop device with direct I/O over a fully allocated file of ${sizeBytes} bytes on ${fileSystem.replace(/\s+/, ", ")}`,
    async fill() {
      const filling = `yes 'what the disk held before' | head -c ${sizeBytes} | dd of=${path} bs=4M iflag=fullblock oflag=direct conv=fsync status=none`;
      await shell`bash -c ${filling}`;
    },
    async settle() {
      await shell`sync`;
      await shell`blockdev --flushbufs ${path}`;
    },
    limitSpeed,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A run that was killed has left its device behind. */
async function detachLeftovers(file: string): Promise<void> {
  const left = (await shell`losetup --noheadings --output NAME --associated ${file}`).stdout.trim();
  for (const path of left.split("\n").filter((line) => line !== "")) await shell`losetup --detach ${path}`;
}

/** The controller blkio of cgroup v1, in its root: there it counts what the kernel's own threads write back, too. */
function setLimit(name: string, bytesPerSecond: number | null): boolean {
  const controller = "/sys/fs/cgroup/blkio";
  const number = readFileSync(`/sys/block/${name}/dev`, "utf8").trim();
  try {
    for (const direction of ["read", "write"]) {
      writeFileSync(`${controller}/blkio.throttle.${direction}_bps_device`, `${number} ${bytesPerSecond ?? 0}`);
    }
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "EACCES" || code === "EROFS" || code === "ENODEV") return false;
    throw error;
  }
}
