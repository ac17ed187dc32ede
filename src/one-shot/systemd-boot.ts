/** One boot by systemd-boot: an entry file, and the EFI variable LoaderEntryOneShot. */
import { join } from "node:path";
import { type EfiVariables, vendors } from "../firmware/efi-variables.ts";
import { bootFilesIn, placeBootFiles } from "./boot-files.ts";
import { replaceContent } from "./durable-file.ts";
import { formatLoaderEntry } from "./entry-file.ts";
import { findEsp, type MountedEsp } from "./esp.ts";
import { pathInside } from "./file-system.ts";
import { formatLoaderText, loaderFeatures, readLoaderFeatures, readLoaderInfo } from "./loader-variables.ts";
import type { Judgement, OneShotRequest, UndoStep } from "./request.ts";

export interface SystemdBootFacts {
  readonly loaderInfo: string | null;
  readonly features: bigint;
  /** Where loader/entries is. */
  readonly esp: MountedEsp | null;
}

export interface SystemdBootPlan {
  readonly esp: MountedEsp;
}

/** Before it, LoaderEntryOneShot was no pattern, and the count of tries belonged to the name of an entry. */
const MINIMUM_VERSION = 250;
/**
 * Counted: systemd-boot renames it to `+0-1` when it boots it, and never again takes it for the default. Without that, the
 * entry could be the first of the menu, hence what is booted always.
 */
export const countedEntryName = "reimage+1.conf";
/** With or without the count: that differs between versions. */
const ENTRY_PATTERN = "reimage*";

export async function readSystemdBootFacts(root: string, variables: EfiVariables): Promise<SystemdBootFacts> {
  const [loaderInfo, features] = [await readLoaderInfo(variables), await readLoaderFeatures(variables)];
  return { loaderInfo, features, esp: await findEsp(root, "loader/entries") };
}

/** Judges (pure) whether systemd-boot boots an entry once, and never by itself after that. */
export function judgeSystemdBoot({ loaderInfo, features, esp }: SystemdBootFacts): Judgement<SystemdBootPlan> {
  if (loaderInfo === null)
    return { refused: "no boot loader has said that it is systemd-boot (EFI variable LoaderInfo)" };
  const version = /^systemd-boot (\d+)/.exec(loaderInfo)?.[1];
  if (version === undefined) return { refused: `this machine was started by ${loaderInfo}, not by systemd-boot` };
  if (Number(version) < MINIMUM_VERSION) {
    return {
      refused: `${loaderInfo} is older than ${MINIMUM_VERSION}: it could take the entry for its default, and boot it for ever`,
    };
  }
  const wanted = loaderFeatures.oneShot | loaderFeatures.bootCounting;
  if ((features & wanted) !== wanted)
    return { refused: `${loaderInfo} cannot boot an entry once (EFI variable LoaderFeatures)` };
  if (esp === null) return { refused: "no FAT file system with loader/entries is mounted on /efi, /boot or /boot/efi" };
  if (esp.fileSystem.readOnly) return { refused: `${esp.path} is mounted read-only` };
  return { plan: { esp }, reason: `${loaderInfo} reads ${esp.path}/loader/entries` };
}

/** Sets the one boot: the files, the entry, and then the variable, which is the switch. @throws ReimageError */
export async function setSystemdBoot(
  request: OneShotRequest,
  { esp }: SystemdBootPlan,
  variables: EfiVariables,
  record: (step: UndoStep) => void,
): Promise<string[]> {
  const files = bootFilesIn(join(esp.path, "reimage"));
  await placeBootFiles(request, files, record);
  const directory = join(esp.path, "loader/entries");
  const entry = formatLoaderEntry({
    title: "reimage (one boot)",
    kernel: pathInside(esp.fileSystem, files.kernel),
    initramfs: pathInside(esp.fileSystem, files.initramfs),
    commandLine: request.commandLine,
  });
  record({ kind: "boot-counted-entry", directory });
  await replaceContent(join(directory, countedEntryName), entry);
  record({ kind: "loader-one-shot", value: ENTRY_PATTERN });
  await variables.write("LoaderEntryOneShot", formatLoaderText(ENTRY_PATTERN), { vendor: vendors.loader });
  return [
    `copied kernel and initramfs to ${files.directory}`,
    `made the entry ${join(directory, countedEntryName)}`,
    `set LoaderEntryOneShot to ${ENTRY_PATTERN}`,
  ];
}
