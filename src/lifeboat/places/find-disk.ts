/** The disk of a place, found again in another process or after a reboot. */
import type { Disk } from "../../disk/disk.ts";
import { identityOf, readDisks } from "../../disk/inventory.ts";
import { ReimageError } from "../../errors.ts";
import type { DiskIdentity } from "../../report/events.ts";

/** @throws ReimageError `lifeboat` where it is not there, or cannot be told from another. */
export async function findPlaceDisk(identity: DiskIdentity): Promise<Disk> {
  return choosePlaceDisk(await readDisks(), identity);
}

/** Pure. The path counts only where nothing else tells two disks apart. */
export function choosePlaceDisk(disks: readonly Disk[], identity: DiskIdentity): Disk {
  const same = disks.filter((disk) => Bun.deepEquals({ ...identityOf(disk), path: identity.path }, identity));
  const found = same.length === 1 ? same[0] : same.find((disk) => disk.path === identity.path);
  if (found !== undefined) return found;
  const what = `${identity.path} (serial ${identity.serial ?? "unknown"}, ${identity.sizeBytes} bytes)`;
  throw new ReimageError("lifeboat", `the disk with the lifeboat, ${what}, is not there`, {
    hint: "check the disk and its cable, then try again",
  });
}
