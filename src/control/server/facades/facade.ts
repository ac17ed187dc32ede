/** What a compatible facade is. */
import type { App, Endpoint } from "../api/context.ts";

/** Makes the routes of a facade; they begin at the root of the server. */
export type CreateFacade = (endpoint: Endpoint, settings: FacadeSettings) => App;

/** What an operator may set of a facade. */
export interface FacadeSettings {
  /** How long a long poll of the facade `metal` lasts. */
  readonly metalWaitSeconds?: number;
}
