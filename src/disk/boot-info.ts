/** `/etc/reimage/boot-info.json`: what the last reimage wrote about itself and its disk, for the next one to compare. */
import { ReimageError } from "../errors.ts";
import type { DiskIdentity } from "../report/events.ts";

/** An empty string means unknown. */
export interface BootInfo {
  readonly image_id: string;
  readonly primary_disk: string;
  readonly os_partition: string;
  readonly initrd: string;
  readonly cmdline: string;
  readonly kernel: string;
  readonly bootloaderid: string;
  readonly disk: DiskIdentity | null;
}

/** Where boot info lies in an OS. */
export const bootInfoPath = "/etc/reimage/boot-info.json";

/** @throws ReimageError `target` for text that is no boot info. Absent fields are unknown, further ones are ignored. */
export function parseBootInfo(_text: string): BootInfo {
  throw new ReimageError("bug", "not written yet");
}

/** The text of the file. */
export function formatBootInfo(_info: BootInfo): string {
  throw new ReimageError("bug", "not written yet");
}
