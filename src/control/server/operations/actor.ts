/** The endpoint itself, where nobody asked it to do something. */
import type { Actor } from "../database/store.ts";

export const SERVE: Actor = { name: "serve", address: null };
