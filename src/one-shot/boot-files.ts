/** Kernel, initramfs and configuration, where a boot loader reads them. */

import { constants } from "node:fs";
import { type FileHandle, mkdir, open, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ReimageError } from "../errors.ts";
import { syncDirectory } from "../system/sync-directory.ts";
import { replaceFile } from "./durable-file.ts";
import { availableBytes } from "./file-system.ts";
import { isDirectory } from "./missing.ts";
import type { OneShotRequest, UndoStep } from "./request.ts";

export interface BootFiles {
  readonly directory: string;
  readonly kernel: string;
  readonly initramfs: string;
}

const MIB = 1 << 20;
/** For directories, entry files and what the old OS writes meanwhile. */
const MARGIN_BYTES = MIB;
/** The kernel looks for the next archive at a multiple of four (Documentation/driver-api/early-userspace/buffer-format.rst). */
const ARCHIVE_ALIGNMENT_BYTES = 4;

/** Names in a directory. `kernelName` ends with `.efi` where firmware starts it. */
export function bootFilesIn(directory: string, kernelName = "vmlinuz"): BootFiles {
  return { directory, kernel: join(directory, kernelName), initramfs: join(directory, "initramfs.img") };
}

/**
 * Copies kernel and initramfs, with the configuration behind it, and syncs everything. The room is judged before.
 * @param record told of each step before it is taken
 * @throws ReimageError `old-os` where there is not enough room, with the numbers.
 */
export async function placeBootFiles(
  request: Pick<OneShotRequest, "kernelPath" | "initramfsPath" | "configArchive">,
  files: BootFiles,
  record: (step: UndoStep) => void,
): Promise<void> {
  const parent = dirname(files.directory);
  await requireRoom(request, parent);
  if (!(await isDirectory(files.directory))) {
    record({ kind: "directory", path: files.directory });
    await mkdir(files.directory, { mode: 0o700 });
    await syncDirectory(parent);
  }
  record({ kind: "file", path: files.kernel });
  await replaceFile(files.kernel, async (file) => void (await append(file, request.kernelPath)));
  record({ kind: "file", path: files.initramfs });
  await replaceFile(files.initramfs, async (file) => await writeInitramfs(file, request));
}

/** Writes the initramfs with the configuration archive behind it to an empty file. */
export async function writeInitramfs(
  file: FileHandle,
  request: Pick<OneShotRequest, "initramfsPath" | "configArchive">,
): Promise<void> {
  const sizeBytes = await append(file, request.initramfsPath);
  const gapBytes = (ARCHIVE_ALIGNMENT_BYTES - (sizeBytes % ARCHIVE_ALIGNMENT_BYTES)) % ARCHIVE_ALIGNMENT_BYTES;
  await file.writeFile(Buffer.concat([Buffer.alloc(gapBytes), request.configArchive]));
}

async function requireRoom(
  request: Pick<OneShotRequest, "kernelPath" | "initramfsPath" | "configArchive">,
  directory: string,
): Promise<void> {
  const [kernel, initramfs] = await Promise.all([stat(request.kernelPath), stat(request.initramfsPath)]);
  const neededBytes = kernel.size + initramfs.size + request.configArchive.length + MARGIN_BYTES;
  const freeBytes = await availableBytes(directory);
  if (freeBytes >= neededBytes) return;
  const [needed, free] = [Math.ceil(neededBytes / MIB), Math.floor(freeBytes / MIB)];
  throw new ReimageError("old-os", `kernel and initramfs need ${needed} MiB in ${directory}; ${free} MiB are free`, {
    hint: `make room there (old kernels?), or choose another method; nothing was changed`,
  });
}

/** Appends a file piece by piece; returns its size. */
async function append(file: FileHandle, path: string): Promise<number> {
  const source = await open(path, constants.O_RDONLY);
  try {
    const piece = Buffer.alloc(MIB);
    let sizeBytes = 0;
    for (;;) {
      const { bytesRead } = await source.read(piece, 0, piece.length, null);
      if (bytesRead === 0) return sizeBytes;
      await file.writeFile(piece.subarray(0, bytesRead));
      sizeBytes += bytesRead;
    }
  } finally {
    await source.close();
  }
}
