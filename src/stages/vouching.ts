/** What vouches for the image: its manifest, the manifest's signature, and its block map. */
import { createHash } from "node:crypto";
import { lstatSync, readFileSync } from "node:fs";
import { type Config, DEFAULT_PUBLIC_KEY } from "../config/schema.ts";
import { ReimageError } from "../errors.ts";
import { type BlockMap, LARGEST_BLOCK_MAP_BYTES, parseBlockMap } from "../image/manifest/block-map.ts";
import { LARGEST_MANIFEST_BYTES, type Manifest, parseManifest } from "../image/manifest/manifest.ts";
import { parsePublicKeys, verifyMinisign } from "../image/signing/minisign.ts";
import { nameOf, type Place, readSmall, withSuffix } from "./neighbours.ts";

/** What is known of an image before it is read. */
export interface Vouching {
  readonly manifest: Manifest | null;
  /** Whether a configured key vouches for the manifest. */
  readonly isSigned: boolean;
  readonly map: BlockMap | null;
  /** The small files as they were read, by what stands behind the name of the image. */
  readonly files: readonly { readonly suffix: string; readonly data: Buffer }[];
}

/**
 * Reads and verifies what there is.
 * @param image where the image is; its neighbours have its name and a suffix.
 * @param manifest where the manifest is said to be; null: beside the image, if it is there.
 * @throws ReimageError `signature` where a key is configured and no valid signed manifest is found; `image` for a manifest
 * or block map that cannot be read, or that do not belong together.
 */
export async function readVouching(config: Config, image: Place, manifest: Place | null): Promise<Vouching> {
  const isSigned = isKeyConfigured(config);
  const place = manifest ?? withSuffix(image, ".manifest.json");
  const data = await readSmall(place, LARGEST_MANIFEST_BYTES);
  if (data === null && isSigned) {
    throw new ReimageError("signature", `a public key is configured, and image ${nameOf(image)} has no manifest`, {
      hint: `put the signed manifest beside the image (${nameOf(image)}.manifest.json and .minisig)`,
    });
  }
  if (data === null && manifest !== null) {
    throw new ReimageError("image", `manifest ${nameOf(place)} is not there`, { hint: "check image.manifest" });
  }
  const signature = data !== null && isSigned ? await verify(config.image.publicKey, place, data) : null;
  const parsed = data === null ? null : parseManifest(data.toString(), nameOf(place));
  const map = await readMap(withSuffix(image, ".bmap"), parsed, isSigned);
  const files = [
    ...(data === null ? [] : [{ suffix: ".manifest.json", data }]),
    ...(signature === null ? [] : [{ suffix: ".manifest.json.minisig", data: signature }]),
    ...(map === null ? [] : [{ suffix: ".bmap", data: map.data }]),
  ];
  return { manifest: parsed, isSigned, map: map?.map ?? null, files };
}

function isKeyConfigured({ image: { publicKey, publicKeyNamed } }: Config): boolean {
  if (lstatSync(publicKey, { throwIfNoEntry: false }) !== undefined) return true; // a dangling link is meant to be a key
  // The default key is optional even where the configuration spells it out; any other was meant to be there.
  if (!publicKeyNamed || publicKey === DEFAULT_PUBLIC_KEY) return false;
  throw new ReimageError("signature", `the public key ${publicKey} that image.publicKey names is not there`, {
    hint: "add the key to the initramfs, below /etc/reimage",
  });
}

async function verify(publicKeyPath: string, place: Place, manifest: Buffer): Promise<Buffer> {
  const signature = await readSmall(withSuffix(place, ".minisig"), LARGEST_MANIFEST_BYTES);
  if (signature === null) {
    throw new ReimageError("signature", `a public key is configured, and manifest ${nameOf(place)} has no signature`, {
      hint: `sign it (minisign -S) and put ${nameOf(place)}.minisig beside it`,
    });
  }
  verifyMinisign(parsePublicKeys(readFileSync(publicKeyPath, "utf8")), signature.toString(), manifest);
  return signature;
}

/**
 * The block map. One that the manifest names must be there, and be that one. One that lies beside an image without saying
 * so in a manifest counts too: it is tried before anything is written. Where a key is configured nothing unsigned counts.
 */
async function readMap(
  place: Place,
  manifest: Manifest | null,
  isSigned: boolean,
): Promise<{ readonly map: BlockMap; readonly data: Buffer } | null> {
  const named = manifest?.blockMap ?? null;
  if (named === null && isSigned) return null;
  const data = await readSmall(place, LARGEST_BLOCK_MAP_BYTES);
  if (data === null && named === null) return null;
  if (data === null) {
    throw new ReimageError("image", `the manifest names a block map, and ${nameOf(place)} is not there`, {
      hint: "put the block map that reimage pack wrote beside the image",
    });
  }
  const sha256 = createHash("sha256").update(data).digest("hex");
  if (named !== null && sha256 !== named.sha256) {
    throw new ReimageError(
      "image",
      `block map ${nameOf(place)} is not the one of the manifest: its sha256 is ${sha256}`,
      {
        hint: "copy the block map again, or pack the image again",
      },
    );
  }
  return { map: parseBlockMap(data.toString(), nameOf(place)), data };
}
