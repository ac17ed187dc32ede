/** What the routes of metal-stack are handed. */
import type { Endpoint } from "../../api/context.ts";

/** What the routes use. */
export interface MetalContext {
  readonly endpoint: Endpoint;
  readonly waitSeconds: number;
}
