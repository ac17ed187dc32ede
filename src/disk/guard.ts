/** Which disk may be overwritten, and whether it is still that disk. Pure: facts in, a decision or a refusal out. */
import { ReimageError } from "../errors.ts";
import type { BootInfo } from "./boot-info.ts";
import type { Disk } from "./inventory.ts";
import type { MountInfo } from "./mounts.ts";

/** What the operator wants. `named`: he wrote `old-root` himself, it is not the default. */
export type TargetSelector =
  | { readonly kind: "old-root"; readonly named: boolean }
  | {
      readonly kind: "match";
      readonly serial?: string;
      readonly wwn?: string;
      readonly path?: string;
      readonly model?: string;
      readonly sizeBytes?: number;
    };

/** What the old OS says about its disk. */
export interface GuardFacts {
  readonly oldRootDisk: Disk | null;
  readonly bootInfo: BootInfo | null;
}

/** A line of /proc/swaps. */
export interface Swap {
  readonly path: string;
  readonly type: string;
}

/** Parses /proc/swaps. */
export function parseSwaps(_text: string): Swap[] {
  throw new ReimageError("bug", "not written yet");
}

/** The one disk to overwrite. @throws ReimageError `target` that lists the candidates. */
export function chooseTarget(_disks: readonly Disk[], _wanted: TargetSelector, _facts: GuardFacts): Disk {
  throw new ReimageError("bug", "not written yet");
}

/** @throws ReimageError `target-busy` that lists every mount, swap and holder on the disk. */
export function checkUnused(_disk: Disk, _mounts: readonly MountInfo[], _swaps: readonly Swap[]): void {
  throw new ReimageError("bug", "not written yet");
}

/** The disk as it is now. @throws ReimageError `target` when it is gone or is another one by now. */
export function assertSameDisk(_before: Disk, _now: readonly Disk[]): Disk {
  throw new ReimageError("bug", "not written yet");
}
