/** The small files that belong to an image: manifest, signature and block map, wherever the image itself is. */
import { readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { ReimageError } from "../errors.ts";
import { besideEach } from "../http/address.ts";
import { pathIn } from "./mount-point.ts";
import type { WebSource } from "./web-source.ts";

/** Where a file is: below a directory that is mounted, or on one or more web servers. */
export type Place =
  | { readonly kind: "path"; readonly root: string; readonly path: string }
  | { readonly kind: "web"; readonly urls: readonly string[]; readonly web: WebSource };

/** The place of the file whose name is this one's with `suffix` behind it. */
export function withSuffix(place: Place, suffix: string): Place {
  if (place.kind === "path") return { ...place, path: `${place.path}${suffix}` };
  return { ...place, urls: besideEach(place.urls, suffix) };
}

/** What the place is called in messages. */
export function nameOf(place: Place): string {
  return place.kind === "path" ? place.path : place.web.shown(place.urls[0] ?? "");
}

/**
 * Reads a small file whole.
 * @returns null where there is none.
 * @throws ReimageError `image` where it cannot be read, is larger than `limitBytes`, or no server answers.
 */
export async function readSmall(place: Place, limitBytes: number): Promise<Buffer | null> {
  if (place.kind === "web") return await place.web.fetchSmall(place.urls, limitBytes);
  const path = await pathIn(place.root, place.path);
  try {
    const { size } = await stat(path);
    if (size <= limitBytes) return readFileSync(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new ReimageError("image", `${place.path} cannot be read`, { cause, hint: "check image.manifest" });
  }
  throw new ReimageError("image", `${place.path} is larger than ${limitBytes} bytes: it is not what its name says`, {
    hint: "check image.manifest, and pack the image again with reimage pack",
  });
}
