/** Where the image comes from: taking `image.source` apart, and finding what vouches for the image. */
import { existsSync, readFileSync } from "node:fs";
import { parseSource } from "../config/names.ts";
import { type Config, DEFAULT_PUBLIC_KEY } from "../config/schema.ts";
import { ReimageError } from "../errors.ts";
import { LARGEST_MANIFEST_BYTES, type Manifest, parseManifest } from "../image/manifest.ts";
import { parsePublicKey, verifyMinisign } from "../image/minisign.ts";
import { pathIn } from "./mount-point.ts";

/** An image on a file system that has to be mounted, or a file of the running system (in an initramfs: packed into it). */
export type ImageSource =
  | { readonly kind: "filesystem"; readonly fileSystem: string; readonly path: string }
  | { readonly kind: "file"; readonly path: string };

/** @throws ReimageError `config` for a source that this version cannot read. */
export function resolveSource(text: string): ImageSource {
  const source = parseSource(text);
  if (source === null || source.kind === "url") {
    throw new ReimageError("config", `image.source: this version cannot read an image from ${text}`, {
      hint: "put the image on a disk and name it as LABEL=…:/path, UUID=…:/path, /dev/…:/path or /path",
    });
  }
  return source;
}

/**
 * The manifest that vouches for the image, if there is one; verified, where a public key is configured.
 * @param root where the image's file system is mounted; "/" for a file of the running system.
 * @throws ReimageError `signature` where a key is configured and no valid signed manifest is found; `image` for a manifest
 * that cannot be read.
 */
export async function readManifest(config: Config, source: ImageSource, root: string): Promise<Manifest | null> {
  const { publicKey, publicKeyNamed } = config.image;
  const wanted = config.image.manifest === null ? `${source.path}.manifest.json` : explicitPath(config);
  const manifestPath = await pathIn(root, wanted);
  const isSigned = existsSync(publicKey);
  // The default key is optional even where the configuration spells it out; any other was meant to be there.
  if (publicKeyNamed && publicKey !== DEFAULT_PUBLIC_KEY && !isSigned) {
    throw new ReimageError("signature", `the public key ${publicKey} that image.publicKey names is not there`, {
      hint: "add the key to the initramfs, below /etc/reimage",
    });
  }
  if (!existsSync(manifestPath)) {
    if (isSigned) {
      throw new ReimageError("signature", `a public key is configured, and image ${source.path} has no manifest`, {
        hint: `put the signed manifest beside the image (${source.path}.manifest.json and .minisig)`,
      });
    }
    if (config.image.manifest === null) return null;
    throw new ReimageError("image", `manifest ${config.image.manifest} is not there`, { hint: "check image.manifest" });
  }
  const data = readBounded(manifestPath);
  if (isSigned) verify(publicKey, manifestPath, data);
  return parseManifest(data.toString(), manifestPath);
}

function verify(publicKeyPath: string, manifestPath: string, manifest: Buffer): void {
  const signaturePath = `${manifestPath}.minisig`;
  if (!existsSync(signaturePath)) {
    throw new ReimageError("signature", `a public key is configured, and manifest ${manifestPath} has no signature`, {
      hint: `sign it (minisign -S) and put ${signaturePath} beside it`,
    });
  }
  const signature = readBounded(signaturePath).toString();
  verifyMinisign(parsePublicKey(readFileSync(publicKeyPath, "utf8")), signature, manifest);
}

/** A manifest elsewhere than beside the image must lie on the same file system as the image. */
function explicitPath(config: Config): string {
  const manifest = resolveSource(config.image.manifest ?? "");
  const image = resolveSource(config.image.source);
  const sameFileSystem =
    manifest.kind === "file" || (image.kind === "filesystem" && manifest.fileSystem === image.fileSystem);
  if (!sameFileSystem) {
    throw new ReimageError("config", "image.manifest and image.source name different file systems", {
      hint: "put the manifest on the file system of the image",
    });
  }
  return manifest.path;
}

function readBounded(path: string): Buffer {
  try {
    const data = readFileSync(path);
    if (data.length <= LARGEST_MANIFEST_BYTES) return data;
  } catch (cause) {
    throw new ReimageError("image", `${path} cannot be read`, { cause, hint: "check image.manifest" });
  }
  throw new ReimageError("image", `${path} is larger than any manifest`, { hint: "check image.manifest" });
}
