/** Where the image comes from: a file system, the running system, or web servers. */
import { parseSource } from "../config/names.ts";
import type { Config } from "../config/schema.ts";
import { ReimageError } from "../errors.ts";
import type { Place } from "./neighbours.ts";
import type { WebSource } from "./web-source.ts";

/** An image on a file system that has to be mounted, a file of the running system (in an initramfs: packed into it), or a URL. */
export type ImageSource =
  | { readonly kind: "filesystem"; readonly fileSystem: string; readonly path: string }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "url"; readonly url: string };

/** @throws ReimageError `config` for what is no source. */
export function resolveSource(text: string): ImageSource {
  const source = parseSource(text);
  if (source !== null) return source;
  throw new ReimageError("config", `image.source: ${text} names no image`, {
    hint: "name it as LABEL=…:/path, UUID=…:/path, /dev/…:/path, /path or http(s)://…",
  });
}

/** How places are reached: where the image's file system is mounted ("/" for the running system), and the web. */
export interface Reach {
  readonly root: string;
  readonly web: WebSource;
}

/** Where the image is. */
export function placeOfImage(config: Config, source: ImageSource, { root, web }: Reach): Place {
  if (source.kind !== "url") return { kind: "path", root, path: source.path };
  return { kind: "web", urls: [source.url, ...config.image.mirrors], web };
}

/**
 * Where `image.manifest` says that the manifest is; null: beside the image. It may be a file of the running system, on a web
 * server, or on the file system of the image.
 * @throws ReimageError `config` where it is on another file system.
 */
export function placeOfManifest(config: Config, source: ImageSource, { root, web }: Reach): Place | null {
  if (config.image.manifest === null) return null;
  const manifest = resolveSource(config.image.manifest);
  if (manifest.kind === "url") return { kind: "web", urls: [manifest.url], web };
  if (manifest.kind === "file") return { kind: "path", root: "/", path: manifest.path };
  if (source.kind === "filesystem" && manifest.fileSystem === source.fileSystem) {
    return { kind: "path", root, path: manifest.path };
  }
  throw new ReimageError("config", "image.manifest and image.source name different file systems", {
    hint: "put the manifest on the file system of the image",
  });
}
