/**
 * One boot by extlinux (BIOS): an entry in its configuration, and `extlinux --once`, which writes the command into the auxiliary
 * data vector at the end of ldlinux.sys. Only the installed command knows where that is: its own format changed between versions.
 */
import { join } from "node:path";
import { ReimageError } from "../errors.ts";
import { startProgram } from "../system/commands.ts";
import { bootFilesIn, placeBootFiles } from "./boot-files.ts";
import { replaceContent } from "./durable-file.ts";
import { type BootFileSystem, pathInside, readBootFileSystem } from "./file-system.ts";
import { withBlock } from "./marked-block.ts";
import { isDirectory, readIfThere } from "./missing.ts";
import { locate } from "./old-root.ts";
import type { Judgement, OneShotRequest, UndoStep } from "./request.ts";

const LABEL = "reimage-once";
const MAXIMUM_OUTPUT_BYTES = 1 << 16;
/** Where extlinux and Debian's and Alpine's packages install it, and the names it looks for, in its order. */
const directories = ["/boot/extlinux", "/boot/syslinux", "/extlinux", "/syslinux", "/boot"];
const names = ["extlinux.conf", "syslinux.cfg"];

export interface ExtlinuxFacts {
  readonly directory: string;
  readonly configPath: string;
  readonly isUefi: boolean;
  /** The path of the command; null where it is not installed. */
  readonly program: string | null;
  readonly fileSystem: BootFileSystem;
}

/** Reads the facts; null where no extlinux is installed. */
export async function readExtlinuxFacts(root: string): Promise<ExtlinuxFacts | null> {
  for (const candidate of directories) {
    const directory = await locate(root, candidate);
    if ((await readIfThere(join(directory, "ldlinux.sys"))) === null) continue;
    for (const name of names) {
      const configPath = await locate(root, `${candidate}/${name}`);
      if ((await readIfThere(configPath)) === null) continue;
      return {
        directory,
        configPath,
        isUefi: await isDirectory("/sys/firmware/efi"),
        program: Bun.which("extlinux", { PATH: "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin" }),
        fileSystem: await readBootFileSystem(directory),
      };
    }
  }
  return null;
}

export interface ExtlinuxPlan {
  readonly facts: ExtlinuxFacts;
  readonly program: string;
}

/** Judges (pure) whether extlinux boots an entry once and then forgets it. */
export function judgeExtlinux(facts: ExtlinuxFacts | null): Judgement<ExtlinuxPlan> {
  if (facts === null) return { refused: "no ldlinux.sys with extlinux.conf or syslinux.cfg beside it" };
  const { fileSystem, program } = facts;
  if (facts.isUefi) return { refused: "under UEFI extlinux cannot remember an entry for one boot" };
  if (program === null)
    return { refused: "the extlinux command, which alone can set an entry for one boot, is not installed" };
  if (!["ext2", "ext3", "ext4", "vfat"].includes(fileSystem.type) || fileSystem.device !== "plain") {
    return {
      refused: `${facts.directory} lies on ${fileSystem.type}, or not on a plain partition: extlinux could not forget the entry`,
    };
  }
  if (fileSystem.readOnly) return { refused: `${fileSystem.mountPoint} is mounted read-only` };
  if (fileSystem.isSubtree) return { refused: `only a part of the file system of ${facts.directory} is mounted` };
  return { plan: { facts, program }, reason: `extlinux boots once what is set in ${facts.directory}/ldlinux.sys` };
}

/** The entry (pure). Words like DEFAULT and TIMEOUT of the file stay as they are. */
export function formatExtlinuxEntry(entry: { kernel: string; initramfs: string; commandLine: string }): string[] {
  return [`LABEL ${LABEL}`, `  LINUX ${entry.kernel}`, `  INITRD ${entry.initramfs}`, `  APPEND ${entry.commandLine}`];
}

/** Sets the one boot: the files, the entry, and then the vector, which is the switch. @throws ReimageError `old-os` */
export async function setExtlinux(
  request: OneShotRequest,
  { facts, program }: ExtlinuxPlan,
  record: (step: UndoStep) => void,
): Promise<string[]> {
  const { configPath, directory, fileSystem } = facts;
  const files = bootFilesIn(join(await locate(request.root, "/boot"), "reimage"));
  const { mountPoint } = await readBootFileSystem(await locate(request.root, "/boot"));
  if (mountPoint !== fileSystem.mountPoint) {
    throw new ReimageError(
      "old-os",
      `/boot lies on another file system than ${directory}, and extlinux reads its own alone`,
    );
  }
  await placeBootFiles(request, files, record);
  const text = (await readIfThere(configPath))?.toString("latin1") ?? "";
  const inside = (path: string): string => pathInside(fileSystem, path);
  const lines = formatExtlinuxEntry({
    kernel: inside(files.kernel),
    initramfs: inside(files.initramfs),
    commandLine: request.commandLine,
  });
  record({ kind: "block", path: configPath });
  await replaceContent(configPath, Buffer.from(withBlock(text, lines), "latin1"), 0o644);
  record({ kind: "extlinux-once", program, directory });
  await runExtlinux(program, [`--once=${LABEL}`, directory]);
  return [
    `copied kernel and initramfs to ${files.directory}`,
    `made the entry ${LABEL} in ${configPath}`,
    `set it for one boot (extlinux --once)`,
  ];
}

/** Takes the one boot back. @throws ReimageError `old-os` */
export async function clearExtlinux(program: string, directory: string): Promise<void> {
  if ((await readIfThere(join(directory, "ldlinux.sys"))) === null) return; // extlinux itself has gone
  await runExtlinux(program, ["--clear-once", directory]);
}

async function runExtlinux(program: string, args: readonly string[]): Promise<void> {
  const end = await startProgram(program, args, { env: {}, maxOutputBytes: MAXIMUM_OUTPUT_BYTES }).ended;
  if (end.exitCode === 0) return;
  const why = [end.stderr, end.problem ?? "", end.signal ?? ""].map((each) => each.trim()).find(Boolean);
  throw new ReimageError("old-os", `${program} ${args.join(" ")} failed: ${why ?? `status ${end.exitCode}`}`, {
    hint: "choose another method; the old system boots as before",
  });
}
