/** One boot by GRUB 2: an entry in custom.cfg, or for grub.cfg files with `blscfg` in loader/entries; and next_entry in grubenv. */
import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { efiVariables } from "../firmware/efi-variables.ts";
import { bootFilesIn, placeBootFiles } from "./boot-files.ts";
import { replaceContent } from "./durable-file.ts";
import { formatLoaderEntry } from "./entry-file.ts";
import { type BootFileSystem, pathInside, readBootFileSystem } from "./file-system.ts";
import { formatGrubEntry, type GrubConfig, parseGrubConfig } from "./grub-config.ts";
import { writeGrubVariable } from "./grub-environment.ts";
import { readLoaderInfo } from "./loader-variables.ts";
import { withBlock } from "./marked-block.ts";
import { isDirectory, isMissing, readIfThere } from "./missing.ts";
import { locate } from "./old-root.ts";
import type { Judgement, OneShotRequest, UndoStep } from "./request.ts";

/** In custom.cfg. */
const ENTRY_ID = "reimage";
/**
 * Of the entry file. Fedora's GRUB sorts the menu by these names, the highest first, and its default may be the first entry:
 * a machine id, hexadecimal, is higher than a capital letter, so ours is last.
 */
const BLS_ID = "AA-reimage";

/** A grub.cfg that was found, and what it depends on. */
export interface GrubFacts {
  readonly directory: string;
  readonly config: GrubConfig;
  /** Links followed; it need not exist. */
  readonly environmentPath: string;
  readonly environment: Buffer | null;
  readonly environmentFileSystem: BootFileSystem;
  /** `/boot` of the old OS, where kernel and initramfs go. */
  readonly boot: string;
  readonly bootFileSystem: BootFileSystem;
  readonly hasEntriesDirectory: boolean;
  /** What the boot loader that started this machine says of itself (UEFI); null: it says nothing. */
  readonly loaderInfo: string | null;
}

export interface GrubPlan {
  readonly facts: GrubFacts;
  readonly otherDefault: string;
  readonly uuid: string;
}

/** Where GRUB can write by the list of a file's blocks: no copy on write, no compression, no checksums over data. */
const WRITABLE_TYPES = ["ext2", "ext3", "ext4", "vfat", "xfs"];

/** Reads the facts of every grub.cfg that makes a menu; those that only lead to another one are left out. */
export async function readGrubFacts(root: string): Promise<GrubFacts[]> {
  const boot = await locate(root, "/boot");
  const vendors = await readdir(await locate(root, "/boot/efi/EFI")).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  const candidates = ["/boot/grub", "/boot/grub2", ...vendors.map((vendor) => `/boot/efi/EFI/${vendor}`)];
  const loaderInfo = await readLoaderInfo(efiVariables());
  const found = new Map<string, GrubFacts>();
  for (const candidate of candidates) {
    const path = await locate(root, `${candidate}/grub.cfg`);
    const text = (await readIfThere(path))?.toString() ?? null;
    if (text === null || !/^\s*(menuentry|blscfg|set default=)/m.test(text)) continue;
    const environmentPath = await locate(root, `${candidate}/grubenv`);
    const directory = dirname(path);
    found.set(path, {
      directory,
      config: parseGrubConfig(text),
      environmentPath,
      environment: await readIfThere(environmentPath),
      environmentFileSystem: await readBootFileSystem(dirname(environmentPath)),
      boot,
      bootFileSystem: await readBootFileSystem(boot),
      hasEntriesDirectory: await isDirectory(join(boot, "loader/entries")),
      loaderInfo,
    });
  }
  return [...found.values()];
}

/** Judges (pure) whether an entry in custom.cfg, or in loader/entries, is booted once and then forgotten. */
export function judgeGrub(found: readonly GrubFacts[], by: "custom" | "bls"): Judgement<GrubPlan> {
  const [facts, other] = found;
  if (facts === undefined) return { refused: "no grub.cfg with a menu in /boot/grub, /boot/grub2 or /boot/efi/EFI" };
  if (other !== undefined) {
    return {
      refused: `two GRUB configurations, ${facts.directory} and ${other.directory}: nobody can say which one is used`,
    };
  }
  const { config, environmentFileSystem: at, bootFileSystem, loaderInfo } = facts;
  const { uuid } = bootFileSystem;
  if (loaderInfo?.startsWith("systemd-boot") === true)
    return { refused: `this machine was started by ${loaderInfo}, not by GRUB` };
  if (!config.clearsNextEntry || config.otherDefault === null) {
    return { refused: `${facts.directory}/grub.cfg does not boot next_entry once, as the one of grub-mkconfig does` };
  }
  if (by === "custom" && !config.sourcesCustom) {
    return { refused: `${facts.directory}/grub.cfg does not read custom.cfg (41_custom of grub-mkconfig does)` };
  }
  if (by === "bls" && !config.usesBls)
    return { refused: `${facts.directory}/grub.cfg does not use loader/entries (blscfg)` };
  if (by === "bls" && !facts.hasEntriesDirectory) return { refused: `there is no ${facts.boot}/loader/entries` };
  const wrong = unwritable(at);
  if (wrong !== null)
    return { refused: `GRUB cannot forget the entry before it boots it, and would boot it for ever: ${wrong}` };
  if (at.readOnly) return { refused: `${at.mountPoint} is mounted read-only` };
  if (bootFileSystem.readOnly) return { refused: `${bootFileSystem.mountPoint} is mounted read-only` };
  if (bootFileSystem.isSubtree || uuid === null) {
    return { refused: `GRUB cannot be told where ${facts.boot} lies: a part of a file system, or one without UUID` };
  }
  const where = by === "custom" ? `${facts.directory}/custom.cfg` : `${facts.boot}/loader/entries`;
  return {
    plan: { facts, otherDefault: config.otherDefault, uuid },
    reason: `GRUB reads ${where}, and can forget the entry at boot`,
  };
}

/** Why GRUB cannot write to grubenv there; null where it can. */
function unwritable(at: BootFileSystem): string | null {
  if (!WRITABLE_TYPES.includes(at.type)) return `grubenv lies on ${at.type}, which GRUB does not write`;
  if (at.device === "mapped") return "grubenv lies on LVM, encryption or multipath, which GRUB does not write";
  if (at.device === "raid") return "grubenv lies on RAID, which GRUB does not write";
  if (at.device === "none") return "grubenv lies on no disk";
  if (at.options.includes("data=journal")) return "the journal (data=journal) would bring the entry back";
  return null;
}

/** Sets the one boot: the files, the entry, and then grubenv, which is the switch. @throws ReimageError `old-os` */
export async function setGrub(
  request: OneShotRequest,
  { facts, otherDefault, uuid }: GrubPlan,
  by: "custom" | "bls",
  record: (step: UndoStep) => void,
): Promise<string[]> {
  const files = bootFilesIn(join(facts.boot, "reimage"));
  const id = by === "custom" ? ENTRY_ID : BLS_ID;
  const environment = writeGrubVariable(facts.environment, "next_entry", id); // refuses before anything is written
  await placeBootFiles(request, files, record);
  const inside = (path: string): string => pathInside(facts.bootFileSystem, path);
  const entry = { kernel: inside(files.kernel), initramfs: inside(files.initramfs), commandLine: request.commandLine };
  const path =
    by === "custom" ? join(facts.directory, "custom.cfg") : join(facts.boot, "loader/entries", `${BLS_ID}.conf`);
  if (by === "custom") {
    const text = (await readIfThere(path))?.toString("latin1") ?? "";
    const lines = formatGrubEntry({ ...entry, id, fileSystemUuid: uuid, otherDefault });
    record({ kind: "block", path });
    await replaceContent(path, Buffer.from(withBlock(text, lines), "latin1"), 0o644);
  } else {
    const unrestricted = ["grub_users $grub_users", "grub_arg --unrestricted", "grub_class reimage"];
    record({ kind: "file", path });
    await replaceContent(path, formatLoaderEntry({ title: "reimage (one boot)", ...entry }, unrestricted), 0o644);
  }
  record({ kind: "grub-next-entry", path: facts.environmentPath, entry: id });
  await replaceContent(facts.environmentPath, environment, 0o644);
  return [
    `copied kernel and initramfs to ${files.directory}`,
    `made the GRUB entry ${id} in ${path}`,
    `set next_entry=${id} in ${facts.environmentPath}`,
  ];
}
