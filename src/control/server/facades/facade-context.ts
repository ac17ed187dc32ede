/** A request to a facade. */
import type { Context } from "hono";
import type { Bindings } from "../api/context.ts";
import type { Principal } from "../security/principal.ts";

export type FacadeContext = Context<{ Bindings: Bindings; Variables: { principal: Principal } }>;
