/** Web servers as a source, as the configuration describes them. */
import { hideCredentials } from "../config/names.ts";
import type { Config } from "../config/schema.ts";
import type { HttpOptions } from "../http/options.ts";
import { fetchSmall } from "../http/small.ts";
import { openHttpSource } from "../http/source.ts";
import type { ByteSource } from "../image/byte-source.ts";
import type { StageName } from "../report/events.ts";
import type { StageContext } from "./context.ts";

/** The servers of `image.source` and `image.mirrors`. */
export interface WebSource {
  /** Opens the image. @throws ReimageError `image`, or `config` for a bad CA file */
  open(): Promise<ByteSource>;
  /** A small file that is the same at each of `urls`; null where no server has it. */
  fetchSmall(urls: readonly string[], limitBytes: number): Promise<Buffer | null>;
  /** A URL as it may be shown: without its secrets. */
  shown(url: string): string;
}

/** Nothing is connected before it is asked for. What goes wrong and is tried again is told as part of `stage`. */
export function createWebSource({ image }: Config, context: StageContext, stage: StageName): WebSource {
  const options: HttpOptions = {
    caFile: image.ca,
    timeoutSeconds: image.timeoutSeconds,
    stallSeconds: image.stallSeconds,
    notify: (text) => context.reporter.emit({ type: "step", stage, message: text }),
  };
  return {
    open: () => openHttpSource([image.source, ...image.mirrors], options),
    fetchSmall: (urls, limitBytes) => fetchSmall(urls, options, limitBytes),
    shown: hideCredentials,
  };
}
