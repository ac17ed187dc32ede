/** What a one-shot entry is asked for, and what is left to be taken back. */

/** Ways to boot something once. In the order in which they are preferred where nobody chooses. */
export const oneShotMethods = ["grub", "grub-bls", "systemd-boot", "extlinux", "bootnext", "kexec"] as const;
export type OneShotMethod = (typeof oneShotMethods)[number];

/** One boot of reimage's kernel and initramfs, wanted from the running old OS. */
export interface OneShotRequest {
  /** `/` of the old OS; a mounted tree in tests. */
  readonly root: string;
  readonly kernelPath: string;
  readonly initramfsPath: string;
  /** A newc cpio archive with /etc/reimage, appended to the initramfs. */
  readonly configArchive: Uint8Array;
  /** `panic=30` is added where it says nothing of panic: without it a panicked kernel would stay as it is. */
  readonly commandLine: string;
  /** The first usable one, unless given. */
  readonly method?: OneShotMethod;
}

/** A method, and in words for the operator why it can or cannot be used. */
export interface OneShotVerdict {
  readonly method: OneShotMethod;
  readonly reason: string;
}

/** One thing that was done, by what takes it back. Each can be repeated, and leaves alone what is no longer ours. */
export type UndoStep =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "block"; readonly path: string }
  | { readonly kind: "grub-next-entry"; readonly path: string; readonly entry: string }
  | { readonly kind: "boot-counted-entry"; readonly directory: string }
  | { readonly kind: "loader-one-shot"; readonly value: string }
  | { readonly kind: "boot-entry"; readonly id: number }
  | { readonly kind: "extlinux-once"; readonly program: string; readonly directory: string }
  | { readonly kind: "kexec" };

/** What was done, as plain JSON data: kept by the caller, and handed to clearOneShot. */
export interface OneShotUndo {
  readonly method: OneShotMethod;
  /** What was done, a line each, for the operator. */
  readonly done: readonly string[];
  /** In the order in which they were done. */
  readonly steps: readonly UndoStep[];
}

/** Whether a method can be used (pure result of facts): a plan for it, or the reason why not. */
export type Judgement<Plan> = { readonly plan: Plan; readonly reason: string } | { readonly refused: string };
