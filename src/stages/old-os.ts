/** The old OS, mounted to be read: its root, its further file systems, and what it says about its disk. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type BootInfo, bootInfoPath, parseBootInfo } from "../disk/boot-info.ts";
import { mountReadOnly as mountAlone, mountLiving, mountRecovered } from "../disk/mounts.ts";
import { ReimageError } from "../errors.ts";
import { openRootedDirectory } from "../retention/rooted.ts";
import type { StageContext } from "./context.ts";
import type { Located } from "./locate.ts";
import { mountPointBelow } from "./mount-point.ts";

/** The old OS below `root`; disposing unmounts all of it. */
export interface OldOs extends AsyncDisposable {
  readonly root: string;
}

/**
 * Mounts the old root and its further file systems read-only, no journal replayed, unless they have to be as they were when
 * the power was cut; where the old OS is running, shows them once more without what is mounted over them. Null for a machine
 * without an old OS.
 */
export async function mountOldOs(
  located: Located,
  { workDir, isLiving, lifeboat }: Pick<StageContext, "workDir" | "isLiving" | "lifeboat">,
): Promise<OldOs | null> {
  // Between arming and the start of the lifeboat the power may have been cut: what the old OS had written counts.
  const mountReadOnly = isLiving ? mountLiving : lifeboat === null ? mountAlone : mountRecovered;
  if (located.oldRoot === null) return null;
  const root = join(workDir, "mnt", "old");
  mkdirSync(root, { recursive: true });
  await using mounted = new AsyncDisposableStack();
  mounted.use(await mountReadOnly(located.oldRoot.device, root));
  if (!existsSync(join(root, "etc"))) {
    throw new ReimageError(
      "old-os",
      `${located.oldRoot.device} (old.root) has no /etc: it is not the root of a system`,
      {
        hint: "set old.root to the file system that holds the old root; a root in a btrfs subvolume must be its default one",
      },
    );
  }
  for (const [mountPoint, found] of located.oldMounts) {
    mounted.use(await mountReadOnly(found.device, await mountPointBelow(root, mountPoint, "old")));
  }
  const kept = mounted.move();
  return { root, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** What the old OS says about its disk; null where it says nothing. */
export async function readBootInfo(oldOs: OldOs | null): Promise<BootInfo | null> {
  const text = await readOldFile(oldOs, bootInfoPath);
  return text === null ? null : parseBootInfo(text.toString());
}

/** A file of the old OS; no link leads outside of it. Null where it is not there. */
export async function readOldFile(oldOs: OldOs | null, path: string): Promise<Buffer | null> {
  if (oldOs === null) return null;
  await using directory = await openRootedDirectory(oldOs.root);
  return await directory.readFile(path);
}
