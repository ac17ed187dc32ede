/**
 * The boot volume of the lifeboat: a FAT file system with a boot loader, kernel, initramfs and our configuration, made
 * without any program of the old OS. It boots wherever it lies on the disk.
 */
import { type FileHandle, open, stat } from "node:fs/promises";
import { ReimageError } from "../../errors.ts";
import { attribute, type FatLayout, planFat } from "./fat.ts";
import { installBootCode } from "./fat-boot-sector.ts";
import {
  checkCommandLine,
  syslinuxConfiguration,
  systemdBootConfiguration,
  systemdBootEntry,
  volumePath,
} from "./loader-configuration.ts";
import { readLoader } from "./loaders.ts";
import { fitSyslinux } from "./syslinux.ts";

export interface BootVolumeRequest {
  readonly firmware: "bios" | "uefi";
  /** Of the disk. A BIOS boots from 512 only. */
  readonly sectorSizeBytes: 512 | 4096;
  readonly kernelPath: string;
  readonly initramfsPath: string;
  /** A second archive for the kernel to unpack, after the initramfs. */
  readonly configArchive: Uint8Array;
  /** Without `initrd=`. */
  readonly commandLine: string;
  /** Of the lifeboat: the FAT volume's serial number is taken from it. */
  readonly uuid: string;
  /** UEFI: further paths of the loader, such as `/EFI/debian/shimx64.efi`; it is always at `/EFI/BOOT/BOOTX64.EFI`. */
  readonly loaderPaths: readonly string[];
  /** UEFI: instead of the systemd-boot in the executable; a signed one for instance. It must read systemd-boot's configuration. */
  readonly loaderPath?: string;
}

/** Size of the pieces that bootVolume() yields. */
export const PIECE_BYTES = 1 << 20;

const REMOVABLE_MEDIA_PATH = "/EFI/BOOT/BOOTX64.EFI";
const LDLINUX = "/ldlinux.sys";

/** A file on the volume: from memory, or streamed from `source`. */
type VolumeFile = { readonly path: string; readonly sizeBytes: number; readonly attributes?: number } & (
  | { readonly content: Uint8Array }
  | { readonly source: string }
);

/**
 * Exactly how many bytes bootVolume() yields: a multiple of 1 MiB, and hardly more than the files. Throws ReimageError where
 * there can be no such volume.
 */
export async function bootVolumeSizeBytes(request: BootVolumeRequest): Promise<number> {
  return (await layOut(await volumeFiles(request), request)).geometry.sizeBytes;
}

/** The type byte that the volume's entry in an MBR needs under a BIOS: 0x0c (FAT32, LBA) or 0x0e (FAT16, LBA). */
export async function fatTypeByte(request: BootVolumeRequest): Promise<number> {
  return (await layOut(await volumeFiles(request), request)).geometry.type === "FAT32" ? 0x0c : 0x0e;
}

/**
 * The volume from its first byte to its last, in pieces of 1 MiB that are the caller's to keep; the same bytes for the same
 * request and files. Throws ReimageError for a file that changes meanwhile: the volume is worth nothing then.
 */
export async function* bootVolume(request: BootVolumeRequest): AsyncGenerator<Buffer> {
  const files = await volumeFiles(request);
  const layout = layOut(files, request);
  await installLoader(files, layout, request);
  const parts: { readonly offsetBytes: number; readonly file: VolumeFile }[] = [
    { offsetBytes: 0, file: { path: "", sizeBytes: layout.metadata.length, content: layout.metadata } },
    ...layout.files.map(({ offsetBytes }, index) => ({ offsetBytes, file: files[index] as VolumeFile })),
  ];
  yield* inPieces(parts, layout.geometry.sizeBytes);
}

const layOut = (files: readonly VolumeFile[], { sectorSizeBytes, uuid }: BootVolumeRequest): FatLayout =>
  planFat({ sectorSizeBytes, label: "REIMAGE", volumeId: volumeId(uuid), files });

function volumeId(uuid: string): number {
  const digits = uuid.replaceAll("-", "");
  if (!/^[0-9a-f]{32}$/i.test(digits)) throw new ReimageError("bug", `${uuid} is no UUID`);
  return Number.parseInt(digits.slice(0, 8), 16);
}

async function volumeFiles(request: BootVolumeRequest): Promise<VolumeFile[]> {
  checkCommandLine(request.commandLine);
  const large = [
    inMemory(volumePath.configuration, request.configArchive),
    await streamed(volumePath.initramfs, request.initramfsPath),
    await streamed(volumePath.kernel, request.kernelPath),
  ];
  if (request.firmware === "bios") return [...(await biosFiles(request)), ...large];
  return [...(await uefiFiles(request)), ...large];
}

async function biosFiles({ commandLine, sectorSizeBytes }: BootVolumeRequest): Promise<VolumeFile[]> {
  if (sectorSizeBytes !== 512) {
    throw new ReimageError("lifeboat", `a BIOS does not boot from a disk with sectors of ${sectorSizeBytes} bytes`);
  }
  const { readOnly, hidden, system } = attribute;
  return [
    { ...inMemory(LDLINUX, await readLoader("ldlinux.sys")), attributes: readOnly | hidden | system },
    inMemory("/ldlinux.c32", await readLoader("ldlinux.c32")),
    inMemory("/syslinux.cfg", Buffer.from(syslinuxConfiguration(commandLine))),
  ];
}

async function uefiFiles({ commandLine, loaderPath, loaderPaths }: BootVolumeRequest): Promise<VolumeFile[]> {
  const loader = loaderPath === undefined ? null : await streamed("", loaderPath);
  const embedded = loader === null ? inMemory("", await readLoader("systemd-bootx64.efi")) : loader;
  const paths = new Map(
    // As firmware has them, with "\", and in any capitals.
    [REMOVABLE_MEDIA_PATH, ...loaderPaths.map((path) => path.replaceAll("\\", "/").replace(/^\/*/, "/"))].map(
      (path) => [path.toUpperCase(), path],
    ),
  );
  paths.set(REMOVABLE_MEDIA_PATH, REMOVABLE_MEDIA_PATH);
  return [
    ...[...paths.values()].map((path) => ({ ...embedded, path })),
    inMemory("/loader/loader.conf", Buffer.from(systemdBootConfiguration)),
    inMemory("/loader/entries/reimage.conf", Buffer.from(systemdBootEntry(commandLine))),
  ];
}

const inMemory = (path: string, content: Uint8Array): VolumeFile => ({ path, sizeBytes: content.length, content });

async function streamed(path: string, source: string): Promise<VolumeFile> {
  try {
    return { path, sizeBytes: (await stat(source)).size, source };
  } catch (cause) {
    throw new ReimageError("lifeboat", `${source} cannot be read`, { cause });
  }
}

/** SYSLINUX's files name sectors of this volume; systemd-boot needs no installing. */
async function installLoader(files: VolumeFile[], layout: FatLayout, { firmware }: BootVolumeRequest): Promise<void> {
  if (firmware !== "bios") return;
  const index = files.findIndex(({ path }) => path === LDLINUX);
  const parts = { bootSector: await readLoader("syslinux-boot-sector.bin"), ldlinux: await readLoader("ldlinux.sys") };
  const { bootSector, ldlinux } = fitSyslinux(parts, (layout.files[index]?.offsetBytes ?? 0) / 512);
  files[index] = { ...(files[index] as VolumeFile), content: ldlinux };
  installBootCode(layout.metadata, layout.geometry, bootSector);
}

async function* inPieces(
  parts: readonly { readonly offsetBytes: number; readonly file: VolumeFile }[],
  sizeBytes: number,
): AsyncGenerator<Buffer> {
  let piece = Buffer.alloc(PIECE_BYTES);
  let startBytes = 0;
  for (const { offsetBytes, file } of parts) {
    await using content = await openContent(file);
    for (let done = 0; done < file.sizeBytes; ) {
      for (; offsetBytes + done >= startBytes + PIECE_BYTES; startBytes += PIECE_BYTES) {
        yield piece;
        piece = Buffer.alloc(PIECE_BYTES);
      }
      const at = offsetBytes + done - startBytes;
      const into = piece.subarray(at, at + Math.min(file.sizeBytes - done, PIECE_BYTES - at));
      await content.read(into, done);
      done += into.length;
    }
  }
  for (; startBytes < sizeBytes; startBytes += PIECE_BYTES) {
    yield piece;
    piece = Buffer.alloc(PIECE_BYTES);
  }
}

interface Content extends AsyncDisposable {
  /** Fills `into` with what lies at `atBytes` of the file. */
  read(into: Buffer, atBytes: number): Promise<void>;
}

async function openContent(file: VolumeFile): Promise<Content> {
  if ("content" in file) {
    return {
      read: async (into, atBytes) => into.set(file.content.subarray(atBytes, atBytes + into.length)),
      [Symbol.asyncDispose]: async () => {},
    };
  }
  const handle = await open(file.source, "r");
  const changed = () => new ReimageError("lifeboat", `${file.source} has changed while it was read`);
  return {
    async read(into, atBytes) {
      for (let done = 0; done < into.length; ) {
        const { bytesRead } = await handle.read(into, done, into.length - done, atBytes + done);
        if (bytesRead === 0) throw changed();
        done += bytesRead;
      }
      if (atBytes + into.length === file.sizeBytes && (await hasMore(handle, file.sizeBytes))) throw changed();
    },
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

const hasMore = async (handle: FileHandle, atBytes: number) =>
  (await handle.read(Buffer.alloc(1), 0, 1, atBytes)).bytesRead > 0;
