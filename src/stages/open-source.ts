/** The image as bytes that can be read: in the running system, on a file system that is mounted for it, or on web servers. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { hideCredentials } from "../config/names.ts";
import type { Config } from "../config/schema.ts";
import { findFileSystem } from "../disk/find-filesystem.ts";
import { type Disk, deviceToDisks, readDisks } from "../disk/inventory.ts";
import { type Mount, mountLiving, mountReadOnly } from "../disk/mounts.ts";
import { ReimageError } from "../errors.ts";
import { type ByteSource, openFileSource } from "../image/byte-source.ts";
import type { StageContext } from "./context.ts";
import { type ImageSource, placeOfImage, placeOfManifest } from "./image-source.ts";
import type { Located } from "./locate.ts";
import { pathIn } from "./mount-point.ts";
import { readVouching, type Vouching } from "./vouching.ts";
import { createWebSource } from "./web-source.ts";

/** Where the image is read from during the write. */
export type ImageLocation =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "filesystem"; readonly fileSystem: string; readonly path: string }
  /** On the servers of the configuration. */
  | { readonly kind: "url" }
  /** In the lifeboat that the machine was booted from. */
  | { readonly kind: "lifeboat" };

/** The image file and what vouches for it. */
export interface OpenSource extends Vouching {
  readonly source: ByteSource;
  /** Why it has to be copied into memory before anything is written; null: it can be read from where it is. */
  readonly copyReason: "on-target" | "not-signed" | null;
  readonly location: ImageLocation;
}

/**
 * Finds the image; what has to be mounted or connected for it is undone with `stack`.
 * @throws ReimageError `image` or `signature`
 */
export async function openSource(
  config: Config,
  source: ImageSource,
  located: Located,
  target: Disk,
  context: StageContext,
  stack: AsyncDisposableStack,
): Promise<OpenSource> {
  const web = createWebSource(config, context, "save");
  const vouch = (root: string) =>
    readVouching(config, placeOfImage(config, source, { root, web }), placeOfManifest(config, source, { root, web }));
  const name = hideCredentials(config.image.source);
  if (context.lifeboat !== null) {
    const vouching = await vouch("/"); // the small files are in the initramfs
    const bytes = stack.use(await context.lifeboat.openImage());
    return { ...vouching, source: bytes, copyReason: null, location: { kind: "lifeboat" } };
  }
  if (source.kind === "url") {
    const vouching = await vouch("/");
    if (config.image.mirrors.length > 0 && vouching.manifest === null) {
      // A read that breaks off is carried on at another server: nothing would tell a mixture of two images.
      throw new ReimageError(
        "image",
        `image ${name} has mirrors and no manifest: nobody knows whether they are the same`,
        {
          hint: "put the manifest that reimage pack writes beside the image, or leave out image.mirrors",
        },
      );
    }
    const bytes = stack.use(await web.open());
    // What nobody has signed for is judged by decoding it, and what is judged must be what is written.
    const copyReason = vouching.isSigned && vouching.manifest !== null ? null : "not-signed";
    return { ...vouching, source: bytes, copyReason, location: { kind: "url" } };
  }
  if (source.kind === "file") {
    const vouching = await vouch("/");
    const bytes = stack.use(await openFileSource(source.path, name));
    return { ...vouching, source: bytes, copyReason: null, location: source };
  }
  const device = located.imageFileSystem?.device ?? "";
  const isOnTarget = (await deviceToDisks(device)).includes(target.name);
  if (!isOnTarget && located.ownHolders.length > 0 && /^\/dev\/(mapper\/|dm-)/.test(device)) {
    throw new ReimageError("image", `image ${name} lies on a logical volume of another disk`, {
      hint: "put it on a plain partition: logical volumes are not active while the target is written",
    });
  }
  const { directory } = stack.use(await mountSource(device, context));
  const vouching = await vouch(directory);
  const bytes = stack.use(await openFileSource(await pathIn(directory, source.path), name));
  return { ...vouching, source: bytes, copyReason: isOnTarget ? "on-target" : null, location: source };
}

/** Opens the judged image again: in memory, on another disk that is mounted again, or on its servers. */
export async function reopenSource(
  config: Config,
  location: ImageLocation,
  context: StageContext,
  stack: AsyncDisposableStack,
): Promise<ByteSource> {
  const name = hideCredentials(config.image.source);
  if (location.kind === "lifeboat") return stack.use(await openParked(context));
  if (location.kind === "url") return stack.use(await createWebSource(config, context, "write").open());
  if (location.kind === "file") return stack.use(await openFileSource(location.path, name));
  const found = await findFileSystem(location.fileSystem, { disks: await readDisks(), code: "image" });
  const { directory } = stack.use(await mountSource(found.device, context));
  return stack.use(await openFileSource(await pathIn(directory, location.path), name));
}

async function openParked({ lifeboat }: StageContext): Promise<ByteSource> {
  if (lifeboat !== null) return await lifeboat.openImage();
  throw new ReimageError("state", "the image of this run is in a lifeboat, and the machine was not booted from it", {
    hint: "start the machine from its own disk: it boots the lifeboat",
  });
}

async function mountSource(device: string, { workDir, isLiving }: StageContext): Promise<Mount> {
  const directory = join(workDir, "mnt", "source");
  mkdirSync(directory, { recursive: true });
  return await (isLiving ? mountLiving : mountReadOnly)(device, directory, "image");
}
