/**
 * The compatible facades: other systems' protocols over the same machines. None of them knows tokens, so they are off
 * unless they are switched on, and then answer an address range only.
 */
import { ReimageError } from "../../../errors.ts";
import type { App, Endpoint } from "../api/context.ts";
import type { AddressRange } from "../security/address-range.ts";
import type { CreateFacade, FacadeSettings } from "./facade.ts";
import { createIpxeFacade } from "./ipxe/facade.ts";
import { createLunaFacade } from "./luna/facade.ts";
import { createMetalFacade } from "./metal/facade.ts";
import { createPxePilotFacade } from "./pxe-pilot/facade.ts";

/** All there are, by the names that `--facade` takes. */
export const facades = {
  ipxe: createIpxeFacade,
  luna: createLunaFacade,
  metal: createMetalFacade,
  "pxe-pilot": createPxePilotFacade,
} as const satisfies Record<string, CreateFacade>;

export type FacadeName = keyof typeof facades;

/** What is switched on, and for whom. */
export interface FacadeOptions extends FacadeSettings {
  readonly names: readonly FacadeName[];
  readonly clients: readonly AddressRange[];
}

/** Adds the routes of what is switched on. Whoever calls from elsewhere gets 403. */
export function mountFacades(app: App, endpoint: Endpoint, options: FacadeOptions): void {
  const { names, clients } = options;
  for (const name of names) {
    const create: CreateFacade = facades[name];
    const facade = create(endpoint, options);
    for (const { path, method } of facade.routes) {
      app.on(method, path, async (context, next) => {
        const address = context.env.address ?? "";
        if (!clients.some((range) => range.contains(address))) {
          throw new ReimageError("forbidden", `${address} may not use the ${name} facade`, {
            hint: "serve's --facade-clients names the address ranges that may",
          });
        }
        // Hono answers HEAD by way of GET: a look at what would boot must not count as a boot.
        if (context.req.method === "HEAD") return context.body(null, 405, { Allow: method });
        await next();
        return undefined;
      });
    }
    app.route("/", facade);
  }
}
