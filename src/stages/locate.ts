/** Finds what the configuration names on the disks of this machine, and waits for disks that are still appearing. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config/schema.ts";
import { type FoundFileSystem, findFileSystem } from "../disk/find-filesystem.ts";
import { type Disk, readDisks } from "../disk/inventory.ts";
import { type ActiveVolumeGroups, activateVolumeGroups } from "../disk/lvm.ts";
import { ReimageError } from "../errors.ts";
import type { ImageSource } from "./image-source.ts";

/** Where everything is. Disposing deactivates the volume groups that had to be activated. */
export interface Located extends AsyncDisposable {
  readonly disks: readonly Disk[];
  readonly oldRoot: FoundFileSystem | null;
  /** The further old file systems, by mount point, parents first. */
  readonly oldMounts: ReadonlyMap<string, FoundFileSystem>;
  /** The file system that holds the image; null where the image is a file of the running system. */
  readonly imageFileSystem: FoundFileSystem | null;
  /** The logical volumes that were activated for this: they hold disks, and will be gone before anything is written. */
  readonly ownHolders: readonly string[];
}

const pollMilliseconds = 250;

/**
 * Finds the old root, its further file systems, and the one that holds the image.
 * @param waitSeconds how long to look again for what is not there; what is there twice is refused at once.
 * @throws ReimageError `old-os` or `image`, naming what was not found and what is there.
 */
export async function locate(config: Config, source: ImageSource, waitSeconds: number): Promise<Located> {
  const deadline = performance.now() + waitSeconds * 1000;
  let groups: ActiveVolumeGroups | null = null;
  let problem: unknown = null;
  for (;;) {
    try {
      return await locateNow(config, source, groups);
    } catch (error) {
      if (!(error instanceof ReimageError) || !["old-os", "image"].includes(error.code)) throw error;
      if (groups === null || groups.names.length === 0) {
        // The root may lie on a logical volume, which is there only once its group is active.
        const activated = await activateVolumeGroups().catch((cause: unknown) => {
          problem = cause; // of a group that may have nothing to do with this run, or whose disks are still appearing
          return null;
        });
        if (activated !== null) groups = activated;
        if (activated !== null && activated.names.length > 0) continue;
      }
      if (performance.now() >= deadline) {
        await groups?.[Symbol.asyncDispose]();
        if (problem === null) throw error;
        throw new ReimageError(error.code, error.message, {
          cause: problem,
          ...(error.hint === undefined ? {} : { hint: error.hint }),
        });
      }
      await sleep(pollMilliseconds);
    }
  }
}

async function locateNow(config: Config, source: ImageSource, groups: ActiveVolumeGroups | null): Promise<Located> {
  const disks = await readDisks();
  const find = (spec: string, code: "old-os" | "image") => findFileSystem(spec, { disks, code });
  const oldRoot = config.old.root === "none" ? null : await find(config.old.root, "old-os");
  const oldMounts = new Map<string, FoundFileSystem>();
  for (const [mountPoint, spec] of Object.entries(config.old.mounts).sort(([a], [b]) => (a < b ? -1 : 1))) {
    oldMounts.set(mountPoint, await find(spec, "old-os"));
  }
  const imageFileSystem = source.kind === "filesystem" ? await find(source.fileSystem, "image") : null;
  return {
    disks,
    oldRoot,
    oldMounts,
    imageFileSystem,
    ownHolders: groups?.holders ?? [],
    [Symbol.asyncDispose]: async () => groups?.[Symbol.asyncDispose](),
  };
}
