/** Real block devices and file systems for the loop tests. All of it needs root and goes away with `await using`. */
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A directory that is removed with everything in it. */
export interface TemporaryDirectory extends AsyncDisposable {
  readonly dir: string;
}

/** A loop device over a sparse file of its own. */
export interface LoopDevice extends AsyncDisposable {
  readonly path: string;
  readonly backingFile: string;
}

/** A mounted file system. `unmount()` may be called early; disposing of it after that does nothing. */
export interface MountedDevice extends AsyncDisposable {
  readonly dir: string;
  unmount(): Promise<void>;
}

/** Runs a command of the test machine and returns what it printed; throws with its stderr where it fails. */
export async function runTestCommand(
  command: readonly string[],
  options: { readonly stdin?: Buffer; readonly cwd?: string } = {},
): Promise<string> {
  const subprocess = Bun.spawn([...command], {
    stdin: options.stdin ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, LC_ALL: "C", PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(subprocess.stdout).text(),
    new Response(subprocess.stderr).text(),
    subprocess.exited,
  ]);
  if (exitCode !== 0) throw new Error(`${command.join(" ")} ended with status ${exitCode}: ${stderr.trim()}`);
  return stdout;
}

/** A new directory under the temporary directory of the machine. */
export async function temporaryDirectory(): Promise<TemporaryDirectory> {
  const dir = await mkdtemp(join(tmpdir(), "reimage-test-"));
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

/** A loop device of `sizeBytes` that reads as zeros; `partscan` makes its partitions known to the kernel. */
export async function createLoopDevice(
  sizeBytes: number,
  options: { readonly sectorSizeBytes?: number; readonly partscan?: boolean } = {},
): Promise<LoopDevice> {
  const directory = await temporaryDirectory();
  try {
    const backingFile = join(directory.dir, "disk.raw");
    const file = await open(backingFile, "wx");
    try {
      await file.truncate(sizeBytes);
    } finally {
      await file.close();
    }
    const path = await attachLoopDevice(backingFile, options);
    return {
      path,
      backingFile,
      async [Symbol.asyncDispose]() {
        await runTestCommand(["losetup", "--detach", path]);
        await directory[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await directory[Symbol.asyncDispose]();
    throw error;
  }
}

/** Attaches an existing file and returns the device's path; `losetup --detach` is the caller's. */
export async function attachLoopDevice(
  backingFile: string,
  options: { readonly sectorSizeBytes?: number; readonly partscan?: boolean; readonly readOnly?: boolean } = {},
): Promise<string> {
  const flags = [
    ...(options.sectorSizeBytes === undefined ? [] : ["--sector-size", String(options.sectorSizeBytes)]),
    ...(options.partscan === true ? ["--partscan"] : []),
    ...(options.readOnly === true ? ["--read-only"] : []),
  ];
  const path = (await runTestCommand(["losetup", "--find", "--show", ...flags, backingFile])).trim();
  // The kernel keeps the read-only flag of a loop device over detaching: a killed test may have left it.
  if (options.readOnly !== true) await runTestCommand(["blockdev", "--setrw", path]);
  return path;
}

/** Makes a file system on a device (or on a file), over whatever was there. */
export async function makeFileSystem(
  device: string,
  type: "ext4" | "xfs" | "btrfs" | "swap",
  options: { readonly label?: string } = {},
): Promise<void> {
  const quiet = type === "swap" ? [] : ["-q"];
  const force = type === "ext4" ? ["-F"] : ["-f"];
  const label = options.label === undefined ? [] : ["-L", options.label];
  await runTestCommand([type === "swap" ? "mkswap" : `mkfs.${type}`, ...quiet, ...force, ...label, device]);
}

/** Mounts a device on `dir`, or on a new directory that goes away again. */
export async function mountDevice(
  device: string,
  dir?: string,
  options: readonly string[] = [],
): Promise<MountedDevice> {
  const own = dir === undefined ? await temporaryDirectory() : null;
  const target = dir ?? own?.dir ?? "";
  let mounted = true;
  try {
    await runTestCommand(["mount", ...(options.length > 0 ? ["-o", options.join(",")] : []), device, target]);
  } catch (error) {
    await own?.[Symbol.asyncDispose]();
    throw error;
  }
  const unmount = async () => {
    if (!mounted) return;
    await runTestCommand(["umount", target]);
    mounted = false;
  };
  return {
    dir: target,
    unmount,
    async [Symbol.asyncDispose]() {
      await unmount(); // before the directory: removing it while mounted would empty the file system
      await own?.[Symbol.asyncDispose]();
    },
  };
}
