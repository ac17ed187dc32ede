/** The variables of the firmware on a system that has not mounted efivarfs, as those without systemd mostly do not. */
import { mkdtemp, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ReimageError } from "../errors.ts";
import { runCommand } from "../system/commands.ts";
import { type EfiVariables, efiVariables } from "./efi-variables.ts";

/**
 * The variables, for reading: from where the system has mounted them, or from a mount of their own for as long as they are
 * open. @throws ReimageError `lifeboat` where the kernel has no access to them.
 */
export async function openEfiVariables(): Promise<EfiVariables & AsyncDisposable> {
  const usual = efiVariables();
  if ((await usual.names()).length > 0) return { ...usual, async [Symbol.asyncDispose]() {} };
  const directory = await mkdtemp(join(tmpdir(), "reimage-efivars-"));
  try {
    await runCommand("mount", ["-t", "efivarfs", "-o", "ro,nosuid,nodev,noexec", "efivarfs", directory]);
  } catch (cause) {
    await rmdir(directory);
    throw new ReimageError("lifeboat", "the variables of the firmware cannot be read: efivarfs cannot be mounted", {
      cause,
      hint: "its kernel module may be missing, or the kernel was booted with noefi or efi=noruntime: boot it without",
    });
  }
  return {
    ...efiVariables(directory),
    async [Symbol.asyncDispose]() {
      await runCommand("umount", [directory]);
      await rmdir(directory);
    },
  };
}
