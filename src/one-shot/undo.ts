/** Takes back what was done for one boot, the last step first. */

import { readdir, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { removeBootEntry } from "../firmware/boot-entries.ts";
import { type EfiVariables, vendors } from "../firmware/efi-variables.ts";
import { syncDirectory } from "../system/sync-directory.ts";
import { removeFile, replaceContent } from "./durable-file.ts";
import { clearExtlinux } from "./extlinux.ts";
import { readGrubVariable, writeGrubVariable } from "./grub-environment.ts";
import { clearKexec } from "./kexec.ts";
import { parseLoaderText } from "./loader-variables.ts";
import { withoutBlock } from "./marked-block.ts";
import { isMissing, readIfThere } from "./missing.ts";
import type { UndoStep } from "./request.ts";

/**
 * Can be repeated, after a power cut in the middle too. A step that fails keeps none of the others from being taken back.
 * @throws what the first step that failed has thrown
 */
export async function undoSteps(steps: readonly UndoStep[], variables: EfiVariables): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps.toReversed()) {
    await undoStep(step, variables).catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
}

async function undoStep(step: UndoStep, variables: EfiVariables): Promise<void> {
  switch (step.kind) {
    case "file":
      return await removeFile(step.path);
    case "directory":
      return await removeDirectory(step.path);
    case "block":
      return await removeBlock(step.path);
    case "grub-next-entry":
      return await clearNextEntry(step.path, step.entry);
    case "boot-counted-entry":
      return await removeCountedEntry(step.directory);
    case "loader-one-shot": {
      const variable = await variables.read("LoaderEntryOneShot", vendors.loader);
      if (variable !== null && parseLoaderText(variable.data) === step.value) {
        await variables.remove("LoaderEntryOneShot", vendors.loader);
      }
      return;
    }
    case "boot-entry":
      return await removeBootEntry(variables, step.id);
    case "extlinux-once":
      return await clearExtlinux(step.program, step.directory);
    case "kexec":
      return clearKexec();
  }
}

/** A directory that is not empty holds what is not ours. */
async function removeDirectory(path: string): Promise<void> {
  try {
    await rmdir(path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (isMissing(error) || code === "ENOTEMPTY" || code === "EEXIST") return;
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Nobody else's lines are lost; a file that held ours alone was made by us. */
async function removeBlock(path: string): Promise<void> {
  const text = (await readIfThere(path))?.toString("latin1") ?? null;
  if (text === null) return;
  const others = withoutBlock(text);
  if (others === text) return;
  if (others === "") await removeFile(path);
  else await replaceContent(path, Buffer.from(others, "latin1"));
}

async function clearNextEntry(path: string, entry: string): Promise<void> {
  const block = await readIfThere(path);
  if (block === null || readGrubVariable(block, "next_entry") !== entry) return;
  await replaceContent(path, writeGrubVariable(block, "next_entry", null));
}

/** systemd-boot may have renamed it meanwhile: `reimage+0-1.conf`. */
async function removeCountedEntry(directory: string): Promise<void> {
  const names = await readdir(directory).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  const ours = names.filter((name) => /^reimage(\+\d+(-\d+)?)?\.conf$/i.test(name));
  for (const name of ours) await removeFile(join(directory, name));
}
