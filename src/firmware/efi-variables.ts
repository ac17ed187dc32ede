/** The variables of UEFI firmware, as Linux shows them in efivarfs (Documentation/filesystems/efivarfs.rst). */
import { open, readdir, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import { ReimageError } from "../errors.ts";
import { ioctl } from "../system/libc.ts";

/** Who names a variable: EFI_GLOBAL_VARIABLE of the specification, and the boot loader interface of systemd. */
export const vendors = {
  global: "8be4df61-93ca-11d2-aa0d-00e098032b8c",
  loader: "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f",
} as const;

/** Non-volatile, for boot services, and at run time: what every variable of a boot entry has. */
export const bootAttributes = 7;

const ATTRIBUTES_BYTES = 4;
const MOST_ATTEMPTS = 100;

/** A variable's value, and its attributes (UEFI specification, 8.2). */
export interface EfiVariable {
  readonly attributes: number;
  readonly data: Buffer;
}

/** Where variables are read and written. Each write goes to the flash memory of the machine: one that changes nothing is left out. */
export interface EfiVariables {
  /** The variable, or null where there is none. @throws ReimageError `lifeboat` */
  read(name: string, vendor?: string): Promise<EfiVariable | null>;
  /** Creates or replaces a variable. @throws ReimageError `lifeboat`, for example where the memory is full */
  write(
    name: string,
    data: Buffer,
    options?: { readonly vendor?: string; readonly attributes?: number },
  ): Promise<void>;
  /** Removes a variable; nothing happens where there is none. @throws ReimageError `lifeboat` */
  remove(name: string, vendor?: string): Promise<void>;
  /** The names of a vendor's variables; empty where efivarfs is not mounted or the firmware has none. */
  names(vendor?: string): Promise<string[]>;
}

/** The variables below `directory`. */
export function efiVariables(directory = "/sys/firmware/efi/efivars"): EfiVariables {
  const pathOf = (name: string, vendor: string): string => join(directory, `${name}-${vendor}`);
  const read = async (name: string, vendor: string = vendors.global): Promise<EfiVariable | null> => {
    const content = await uninterrupted(() => readFile(pathOf(name, vendor))).catch((cause) => {
      if (isMissing(cause)) return null;
      throw failure("read", name, cause);
    });
    // A file without content is one that somebody created and did not write.
    if (content === null || content.length < ATTRIBUTES_BYTES) return null;
    return { attributes: content.readUInt32LE(0), data: content.subarray(ATTRIBUTES_BYTES) };
  };
  return {
    read,
    async write(name, data, { vendor = vendors.global, attributes = bootAttributes } = {}) {
      const before = await read(name, vendor);
      if (before !== null && before.attributes === attributes && before.data.equals(data)) return;
      const content = Buffer.alloc(ATTRIBUTES_BYTES + data.length);
      content.writeUInt32LE(attributes, 0);
      data.copy(content, ATTRIBUTES_BYTES);
      await uninterrupted(() => replace(pathOf(name, vendor), content)).catch((cause) => {
        throw failure("write", name, cause);
      });
    },
    async remove(name, vendor = vendors.global) {
      const path = pathOf(name, vendor);
      try {
        await uninterrupted(() => makeMutable(path));
        await uninterrupted(() => unlink(path));
      } catch (cause) {
        if (!isMissing(cause)) throw failure("remove", name, cause);
      }
    },
    async names(vendor = vendors.global) {
      const files = await readdir(directory).catch((cause) => {
        if (isMissing(cause)) return [];
        throw failure("list", "the variables", cause);
      });
      const suffix = `-${vendor}`;
      return files.filter((file) => file.endsWith(suffix)).map((file) => file.slice(0, -suffix.length));
    },
  };
}

/**
 * The kernel waits for its turn at the firmware interruptibly (efivar_lock), and gives up with EINTR when a signal arrives.
 * Nothing has been done then.
 */
async function uninterrupted<T>(call: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call();
    } catch (cause) {
      if (codeOf(cause) !== "EINTR" || attempt === MOST_ATTEMPTS) throw cause;
    }
  }
}

/** The kernel hands each write to the firmware as the whole variable, so there is exactly one, and no truncation before. */
async function replace(path: string, content: Buffer): Promise<void> {
  const exists = await makeMutable(path);
  const file = await open(path, exists ? "r+" : "wx+", 0o644);
  try {
    const { bytesWritten } = await file.write(content, 0, content.length);
    if (bytesWritten !== content.length) throw new Error(`${bytesWritten} of ${content.length} bytes were written`);
    // Only in a plain directory, which a test has: efivarfs has the right length by itself.
    if ((await file.stat()).size > content.length) await file.truncate(content.length);
  } catch (error) {
    if (!exists) await unlink(path).catch(() => {}); // an empty file would be left, and be no variable
    throw error;
  } finally {
    await file.close();
  }
}

/** efivarfs protects most variables with the immutable flag, because firmware died of `rm -rf`. False: there is no such file. */
async function makeMutable(path: string): Promise<boolean> {
  const FS_IOC_GETFLAGS = 0x80086601;
  const FS_IOC_SETFLAGS = 0x40086602;
  const FS_IMMUTABLE_FL = 0x10;
  const file = await open(path, "r").catch((cause) => {
    if (isMissing(cause)) return null;
    throw cause;
  });
  if (file === null) return false;
  try {
    const flags = Buffer.alloc(8);
    try {
      ioctl(file.fd, FS_IOC_GETFLAGS, flags, "FS_IOC_GETFLAGS");
    } catch {
      return true; // a file system without flags protects nothing
    }
    const value = flags.readUInt32LE(0);
    if ((value & FS_IMMUTABLE_FL) === 0) return true;
    flags.writeUInt32LE((value & ~FS_IMMUTABLE_FL) >>> 0, 0);
    ioctl(file.fd, FS_IOC_SETFLAGS, flags, "FS_IOC_SETFLAGS");
    return true;
  } finally {
    await file.close();
  }
}

function codeOf(cause: unknown): unknown {
  return cause instanceof Error && "code" in cause ? cause.code : undefined;
}

function isMissing(cause: unknown): boolean {
  return codeOf(cause) === "ENOENT";
}

const hints: Readonly<Record<string, string>> = {
  ENOSPC: "the memory of the firmware is full: remove boot entries that nobody needs, with efibootmgr",
  EROFS: "efivarfs is mounted read-only: mount -o remount,rw /sys/firmware/efi/efivars",
  EACCES: "this needs root",
  EPERM: "this needs root",
};

function failure(verb: string, name: string, cause: unknown): ReimageError {
  const hint = hints[String(codeOf(cause))];
  return new ReimageError("lifeboat", `cannot ${verb} the firmware variable ${name}`, {
    cause,
    ...(hint === undefined ? {} : { hint }),
  });
}
