/** The new OS, mounted: its root and its further file systems, on the target and nowhere else. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { findFileSystem } from "../disk/find-filesystem.ts";
import { assertSameDisk } from "../disk/guard.ts";
import { readDisks } from "../disk/inventory.ts";
import { partitionPath } from "../disk/kernel-partitions.ts";
import type { Mount } from "../disk/mounts.ts";
import { mountPointBelow } from "./mount-point.ts";
import type { Saved } from "./save.ts";

/** The new OS with its further file systems, mounted; disposing unmounts all of it. */
export async function mountNewOs(
  config: Config,
  saved: Saved,
  workDir: string,
  mount: (device: string, directory: string) => Promise<Mount>,
) {
  const root = join(workDir, "mnt", "new");
  mkdirSync(root, { recursive: true });
  await using mounted = new AsyncDisposableStack();
  const rootDevice = await newDevice(config.new.root, saved);
  mounted.use(await mount(rootDevice, root));
  for (const [mountPoint, spec] of Object.entries(config.new.mounts).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const directory = await mountPointBelow(root, mountPoint, "new");
    mounted.use(await mount(await newDevice(spec, saved), directory));
  }
  const kept = mounted.move();
  return { root, rootDevice, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** The device of a partition of the target, by its number in the image's table or by what it holds; on the target only. */
async function newDevice(spec: string, saved: Saved): Promise<string> {
  const target = assertSameDisk(saved.target, await readDisks());
  if (/^\d+$/.test(spec)) return partitionPath(target.path, Number(spec));
  return (await findFileSystem(spec, { disks: [target], code: "new-os" })).device;
}
