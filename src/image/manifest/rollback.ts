/** Anti-rollback: an image that is older than the system on the disk is refused, by version counter and by no clock. */
import type { BootInfo } from "../../disk/boot-info.ts";
import { ReimageError } from "../../errors.ts";
import type { Manifest } from "./manifest.ts";

export interface RollbackOptions {
  /** Whether a key is configured, so that the manifest's version is vouched for. */
  readonly isSigned: boolean;
  /** `image.allowOlder`. */
  readonly allowOlder: boolean;
}

/**
 * Compares the version of an image with the one that the old OS's boot info names (pure). The same version may be written
 * again. Where there is no key, no boot info, or no version in it, there is nothing to compare.
 * @returns what to warn the operator of, where an older image is allowed; else null
 * @throws ReimageError code `signature` where a signed image is older and `allowOlder` is not set
 */
export function requireNotOlder(
  manifest: Pick<Manifest, "imageId" | "version">,
  bootInfo: Pick<BootInfo, "image_id" | "image_version"> | null,
  options: RollbackOptions,
): string | null {
  const installed = bootInfo?.image_version ?? null;
  if (!options.isSigned || installed === null || manifest.version >= installed) return null;
  const what = `image ${manifest.imageId} has version ${manifest.version}, which is older than what this machine runs`;
  const message = `${what}: version ${installed} (${bootInfo?.image_id || "of unknown name"})`;
  if (options.allowOlder) return `${message}; image.allowOlder permits it`;
  throw new ReimageError("signature", message, {
    hint:
      "the disk is untouched and the old system boots as before; use an image with a version that is not lower, " +
      "or, to go back on purpose, set image.allowOlder: true",
  });
}
