/** One boot by the firmware itself: the kernel is an EFI program, a Boot#### entry outside the boot order starts it, BootNext names it. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ReimageError } from "../errors.ts";
import { createBootEntry, setBootNext } from "../firmware/boot-entries.ts";
import type { EfiVariables } from "../firmware/efi-variables.ts";
import { bootFilesIn, placeBootFiles } from "./boot-files.ts";
import { findEsp, type MountedEsp } from "./esp.ts";
import { type PartitionPlace, pathInside } from "./file-system.ts";
import { readIfThere } from "./missing.ts";
import type { Judgement, OneShotRequest, UndoStep } from "./request.ts";

export interface BootNextFacts {
  readonly bootVariables: number;
  /** Of the firmware; null where it is not known. */
  readonly bits: string | null;
  readonly secureBoot: boolean;
  readonly esp: MountedEsp | null;
}

export interface BootNextPlan {
  readonly esp: MountedEsp;
  readonly partition: PartitionPlace;
}

/** Another one than the lifeboat's: entries of the same description replace each other. */
const DESCRIPTION = "reimage (one boot)";

export async function readBootNextFacts(root: string, variables: EfiVariables): Promise<BootNextFacts> {
  const names = await variables.names();
  return {
    bootVariables: names.filter((name) => /^Boot(Order|Current|[0-9A-F]{4})$/.test(name)).length,
    bits: (await readIfThere("/sys/firmware/efi/fw_platform_size"))?.toString().trim() ?? null,
    secureBoot: (await variables.read("SecureBoot"))?.data[0] === 1,
    esp: await findEsp(root, "EFI"),
  };
}

/** Judges (pure) whether the firmware can start the kernel once. */
export function judgeBootNext(facts: BootNextFacts): Judgement<BootNextPlan> {
  const { esp } = facts;
  if (facts.bootVariables === 0)
    return { refused: "no boot entries of UEFI firmware: BIOS, or efivarfs is not mounted" };
  if (facts.bits !== "64")
    return { refused: `the firmware has ${facts.bits ?? "an unknown number of"} bits; a 64-bit kernel needs 64` };
  if (facts.secureBoot)
    return { refused: "Secure Boot is on: the firmware itself starts no kernel of Linux, whoever signed it" };
  if (esp === null) return { refused: "no EFI system partition is mounted on /efi, /boot or /boot/efi" };
  if (esp.fileSystem.readOnly) return { refused: `${esp.path} is mounted read-only` };
  const { partition } = esp.fileSystem;
  if (partition === null || esp.fileSystem.device !== "plain")
    return { refused: `${esp.path} is no partition that firmware can find` };
  return { plan: { esp, partition }, reason: `the firmware boots once what BootNext names, from ${esp.path}` };
}

/** Whether a file is a bzImage that firmware can start (pure): a PE file with the kernel's header. */
export function hasEfiStub(kernel: Buffer): boolean {
  return (
    kernel.length > 0x206 &&
    kernel.toString("latin1", 0, 2) === "MZ" &&
    kernel.toString("latin1", 0x202, 0x206) === "HdrS"
  );
}

/** Sets the one boot: the files, the entry, and then BootNext, which is the switch. @throws ReimageError */
export async function setFirmwareBootNext(
  request: OneShotRequest,
  { esp, partition }: BootNextPlan,
  variables: EfiVariables,
  record: (step: UndoStep) => void,
): Promise<string[]> {
  if (!hasEfiStub(await readFile(request.kernelPath))) {
    throw new ReimageError("old-os", `${request.kernelPath} is no kernel that UEFI firmware can start (no EFI stub)`);
  }
  const files = bootFilesIn(join(esp.path, "EFI", "reimage"), "vmlinuz.efi");
  await placeBootFiles(request, files, record);
  const inside = (path: string): string => pathInside(esp.fileSystem, path);
  // The stub of the kernel loads it from the file system that it was started from itself.
  const initrd = `initrd=${inside(files.initramfs).replaceAll("/", "\\")}`;
  const id = await createBootEntry(variables, {
    description: DESCRIPTION,
    partition,
    file: inside(files.kernel),
    commandLine: `${initrd} ${request.commandLine}`,
  });
  record({ kind: "boot-entry", id });
  await setBootNext(variables, id);
  const number = id.toString(16).toUpperCase().padStart(4, "0");
  return [
    `copied kernel and initramfs to ${files.directory}`,
    `made the boot entry Boot${number} (${DESCRIPTION}), outside the boot order`,
    `set BootNext to ${number}`,
  ];
}
