/** The image as a file that can be opened: in the running system, or on a file system that is mounted for it. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { type Disk, deviceToDisks } from "../disk/inventory.ts";
import { type Mount, mountReadOnly } from "../disk/mounts.ts";
import { ReimageError } from "../errors.ts";
import type { Manifest } from "../image/manifest.ts";
import { type ImageSource, readManifest } from "./image-source.ts";
import type { Located } from "./locate.ts";
import { pathIn } from "./mount-point.ts";

/** The image file and what vouches for it. */
export interface OpenSource {
  readonly path: string;
  readonly manifest: Manifest | null;
  /** Whether it lies on the disk that will be overwritten, and has to be copied. */
  readonly isOnTarget: boolean;
}

/** Finds the image; what has to be mounted for it is unmounted with `stack`. */
export async function openSource(
  config: Config,
  source: ImageSource,
  located: Located,
  target: Disk,
  workDir: string,
  stack: AsyncDisposableStack,
): Promise<OpenSource> {
  if (source.kind === "file") {
    return { path: source.path, manifest: await readManifest(config, source, "/"), isOnTarget: false };
  }
  const device = located.imageFileSystem?.device ?? "";
  const isOnTarget = (await deviceToDisks(device)).includes(target.name);
  if (!isOnTarget && located.ownHolders.length > 0 && /^\/dev\/(mapper\/|dm-)/.test(device)) {
    throw new ReimageError("image", `image ${config.image.source} lies on a logical volume of another disk`, {
      hint: "put it on a plain partition: logical volumes are not active while the target is written",
    });
  }
  const mount = stack.use(await mountSource(device, workDir));
  return {
    path: await pathIn(mount.directory, source.path),
    manifest: await readManifest(config, source, mount.directory),
    isOnTarget,
  };
}

/** Mounts the file system that holds the image. */
export async function mountSource(device: string, workDir: string): Promise<Mount> {
  const directory = join(workDir, "mnt", "source");
  mkdirSync(directory, { recursive: true });
  return await mountReadOnly(device, directory, "image");
}
