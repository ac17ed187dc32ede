/** One boot without firmware and boot loader: the running kernel holds the next one in memory (kexec_file_load(2)). */
import { constants } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ReimageError } from "../errors.ts";
import { loadKexec, SystemCallError, unloadKexec } from "../system/libc.ts";
import { writeInitramfs } from "./boot-files.ts";
import { isDirectory, readIfThere } from "./missing.ts";
import type { Judgement, OneShotRequest, UndoStep } from "./request.ts";

export interface KexecFacts {
  readonly architecture: string;
  readonly isSupported: boolean;
  /** kernel.kexec_load_disabled */
  readonly isDisabled: boolean;
  /** /sys/kernel/security/lockdown; null where the kernel has none. */
  readonly lockdown: string | null;
}

export async function readKexecFacts(): Promise<KexecFacts> {
  const text = async (path: string): Promise<string | null> => (await readIfThere(path))?.toString().trim() ?? null;
  return {
    architecture: process.arch,
    isSupported: (await text("/sys/kernel/kexec_loaded")) !== null,
    isDisabled: (await text("/proc/sys/kernel/kexec_load_disabled")) === "1",
    lockdown: await text("/sys/kernel/security/lockdown"),
  };
}

/** Judges (pure) whether the running kernel may load another one; it has the last word when it does. */
export function judgeKexec(facts: KexecFacts): Judgement<Record<string, never>> {
  if (facts.architecture !== "x64") return { refused: `kexec is for 64-bit x86 here; this is ${facts.architecture}` };
  if (!facts.isSupported) return { refused: "the running kernel has no kexec" };
  if (facts.isDisabled)
    return { refused: "kexec is switched off until the next boot (sysctl kernel.kexec_load_disabled)" };
  if (facts.lockdown !== null && !facts.lockdown.includes("[none]")) {
    return {
      refused: `the running kernel is locked down (${facts.lockdown}), as it is under Secure Boot: it starts no other kernel`,
    };
  }
  return { plan: {}, reason: "the running kernel can start another one; nothing on the disk changes" };
}

/**
 * Loads kernel and initramfs. They are booted by `systemctl kexec` or reboot(2) with LINUX_REBOOT_CMD_KEXEC; any other
 * restart boots the old OS.
 * @throws ReimageError `old-os` with the kernel's reason.
 */
export async function setKexec(request: OneShotRequest, record: (step: UndoStep) => void): Promise<string[]> {
  const memory = (await isDirectory("/dev/shm")) ? "/dev/shm" : tmpdir();
  const folder = await mkdtemp(join(memory, "reimage-kexec-"));
  try {
    const path = join(folder, "initramfs.img");
    const made = await open(path, "wx", 0o600);
    try {
      await writeInitramfs(made, request);
    } finally {
      await made.close();
    }
    const kernel = await open(request.kernelPath, constants.O_RDONLY);
    try {
      const initramfs = await open(path, constants.O_RDONLY);
      try {
        record({ kind: "kexec" });
        loadKexec(kernel.fd, initramfs.fd, request.commandLine);
      } finally {
        await initramfs.close();
      }
    } finally {
      await kernel.close();
    }
  } catch (error) {
    throw error instanceof SystemCallError ? refusal(error) : error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return ["loaded kernel and initramfs into memory (kexec)"];
}

/** Forgets the loaded kernel; nothing happens where there is none. */
export function clearKexec(): void {
  try {
    unloadKexec();
  } catch (error) {
    if (error instanceof SystemCallError && error.code === "ENOSYS") return; // there was never one
    throw error;
  }
}

const reasons: Readonly<Record<string, string>> = {
  EPERM: "it is locked down (Secure Boot), kexec is switched off, or this is not root",
  ENOEXEC: "the file is no kernel that it can start",
  EKEYREJECTED: "it wants a signature by a key that it trusts",
  ENOPKG: "it wants a signature of a kind that it knows",
  ENODATA: "it wants a signature, and the file has none",
  EBADMSG: "the signature is damaged",
  ENOSYS: "it has no kexec_file_load",
  ENOMEM: "there is not enough memory",
  EBUSY: "somebody else is loading one",
};

function refusal(error: SystemCallError): ReimageError {
  return new ReimageError(
    "old-os",
    `the running kernel does not load another one: ${reasons[error.code] ?? error.message}`,
    {
      cause: error,
      hint: "choose another method; nothing was changed",
    },
  );
}
