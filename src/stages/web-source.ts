/** Web servers as a source, as the configuration describes them. */
import { hideCredentials } from "../config/names.ts";
import type { Config } from "../config/schema.ts";
import { ReimageError } from "../errors.ts";
import type { ByteSource } from "../image/byte-source.ts";

/** The servers of `image.source` and `image.mirrors`. */
export interface WebSource {
  /** Opens the image. @throws ReimageError `network` or `image` */
  open(): Promise<ByteSource>;
  /** A small file that is at all of `urls` alike; null where no server has it. */
  fetchSmall(urls: readonly string[], limitBytes: number): Promise<Buffer | null>;
  /** A URL as it may be shown: without its secrets. */
  shown(url: string): string;
}

/** Nothing is connected before it is asked for. */
export function createWebSource(_config: Config): WebSource {
  const refuse = () => {
    throw new ReimageError("config", "this version cannot read an image from a web server");
  };
  return { open: refuse, fetchSmall: refuse, shown: hideCredentials };
}
