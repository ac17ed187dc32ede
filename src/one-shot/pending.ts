/** Whether the one boot has yet to come: asked for by the old OS, which runs before it and, where it failed, after it. */
import { readBootNext } from "../firmware/boot-entries.ts";
import { efiVariables, vendors } from "../firmware/efi-variables.ts";
import { readGrubVariable } from "./grub-environment.ts";
import { parseLoaderText } from "./loader-variables.ts";
import { readIfThere } from "./missing.ts";
import type { OneShotUndo, UndoStep } from "./request.ts";

/** False: it was used, or taken back. Null: it cannot be told (extlinux does not say). @throws ReimageError */
export async function isOneShotPending(undo: OneShotUndo): Promise<boolean | null> {
  for (const step of undo.steps) {
    const pending = await isSwitched(step);
    if (pending !== undefined) return pending;
  }
  return false; // it was never switched
}

/** Undefined: the step is not the one that switches. */
async function isSwitched(step: UndoStep): Promise<boolean | null | undefined> {
  const variables = efiVariables();
  switch (step.kind) {
    case "grub-next-entry": {
      const block = await readIfThere(step.path);
      return block !== null && readGrubVariable(block, "next_entry") === step.entry;
    }
    case "loader-one-shot": {
      const variable = await variables.read("LoaderEntryOneShot", vendors.loader);
      return variable !== null && parseLoaderText(variable.data) === step.value;
    }
    case "boot-entry":
      return (await readBootNext(variables)) === step.id;
    case "extlinux-once":
      return null;
    case "kexec":
      return (await readIfThere("/sys/kernel/kexec_loaded"))?.toString().trim() === "1";
    default:
      return undefined;
  }
}
