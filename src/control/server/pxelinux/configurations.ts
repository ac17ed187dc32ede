/** The boot configurations that the operator keeps as files. They are only ever read. */
import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { ReimageError } from "../../../errors.ts";
import { openInRoot } from "../../../system/libc.ts";
import { nameSchema } from "../../protocol/identity.ts";

/** More than this is an image that lies in the wrong place, and no configuration of a boot loader. */
const LARGEST_BYTES = 65_536;

/** One configuration file. */
export interface ConfigurationFile {
  readonly name: string;
  /** The directory of a boot loader (`<configurations>/<bootloader>/<name>`); null for one that lies at the top. */
  readonly bootloader: string | null;
  /** Absolute. */
  readonly path: string;
  readonly content: Buffer;
  /** Mode, owner and time of the file. */
  readonly stats: Stats;
}

/**
 * Reads all configurations below `directory`: files at the top (`conf/local`), then those one directory below
 * (`conf/pxelinux/local`, the layout of PXE Pilot). Left out is what cannot be one: names that are no `Name`, hidden
 * files, anything that is not a regular file of at most 64 KiB, and symbolic links that lead out of the directory.
 * @throws ReimageError `config` where the directory cannot be read.
 */
export async function readConfigurationFiles(directory: string): Promise<ConfigurationFile[]> {
  let directoryFd: number;
  try {
    directoryFd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (cause) {
    throw unreadable(directory, cause);
  }
  try {
    const found: ConfigurationFile[] = [];
    const folders: string[] = [];
    const read = (bootloader: string | null, name: string) => {
      const file = readInside(directoryFd, bootloader === null ? name : join(bootloader, name));
      if (file === "directory" && bootloader === null) folders.push(name);
      if (file === null || file === "directory") return;
      found.push({ name, bootloader, path: join(directory, bootloader ?? "", name), ...file });
    };
    for (const name of await namesIn(directory)) read(null, name);
    for (const folder of folders) for (const name of await namesIn(join(directory, folder))) read(folder, name);
    return found;
  } catch (cause) {
    throw unreadable(directory, cause);
  } finally {
    closeSync(directoryFd);
  }
}

/**
 * The one configuration of that name.
 * @throws ReimageError `config` where there is none, or where two boot loaders have one: which is meant is not guessed.
 */
export function requireConfiguration(files: readonly ConfigurationFile[], name: string): ConfigurationFile {
  const [first, second] = files.filter((file) => file.name === name);
  if (first === undefined) {
    throw new ReimageError("config", `there is no boot configuration ${JSON.stringify(name)}`, {
      hint: files.length === 0 ? "the directory of configurations is empty" : `there are: ${listNames(files)}`,
    });
  }
  if (second !== undefined) {
    throw new ReimageError("config", `two boot configurations are called ${name}: ${first.path} and ${second.path}`, {
      hint: "rename one of them",
    });
  }
  return first;
}

function listNames(files: readonly ConfigurationFile[]): string {
  const names = [...new Set(files.map(({ name }) => name))];
  return names.length <= 20 ? names.join(", ") : `${names.slice(0, 20).join(", ")} … (${names.length})`;
}

async function namesIn(directory: string): Promise<string[]> {
  return (await readdir(directory)).filter((name) => nameSchema.safeParse(name).success).sort();
}

/** Opens without leaving the directory, and without waiting for the writer of a named pipe. */
function readInside(directoryFd: number, path: string): { content: Buffer; stats: Stats } | "directory" | null {
  let fd: number;
  try {
    fd = openInRoot(directoryFd, path, constants.O_RDONLY | constants.O_NONBLOCK | 0o2000000 /* O_CLOEXEC */);
  } catch {
    return null; // a broken link, one that leads outside, or nothing that may be read
  }
  try {
    const stats = fstatSync(fd);
    if (stats.isDirectory()) return "directory";
    if (!stats.isFile() || stats.size > LARGEST_BYTES) return null;
    return { content: readFileSync(fd), stats };
  } finally {
    closeSync(fd);
  }
}

function unreadable(directory: string, cause: unknown): ReimageError {
  return new ReimageError("config", `the directory of boot configurations, ${directory}, cannot be read`, { cause });
}
