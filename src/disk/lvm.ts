/** LVM: volume groups activated read-only, so that an old root on a logical volume can be read, and taken away again. */
import { ReimageError } from "../errors.ts";

/** Volume groups that are active; disposing deactivates them. */
export interface ActiveVolumeGroups extends AsyncDisposable {
  readonly names: readonly string[];
}

/** Activates every volume group read-only. None where there is no LVM on the disks or no lvm command. */
export async function activateVolumeGroups(): Promise<ActiveVolumeGroups> {
  throw new ReimageError("bug", "not written yet");
}

/** Deactivates volume groups. @throws ReimageError `target-busy` naming what is still open. */
export async function deactivateVolumeGroups(_names: readonly string[]): Promise<void> {
  throw new ReimageError("bug", "not written yet");
}
