/** A row of a table of requests and answers. */

/** What came before the request. */
export type Given =
  | "unknown" // nobody has heard of the machine
  | "discovered" // it has registered, and nobody has approved it
  | "named" // an operator has named it; os-1 is on it
  | "locked"
  | "freed"
  | "with power" // named, and it has a power adapter
  | "adapter missing" // named, with an adapter that is not configured here
  | "requested" // to be reinstalled with os-2
  | "requested without url" // with an image that cannot be fetched
  | "booted" // into the reimager
  | "registered"
  | "writing" // it has said Installing
  | "reported" // success
  | "aborted" // untouched
  | "parked"; // after its last attempt

export interface Row {
  readonly given: Given;
  readonly method: "GET" | "POST" | "DELETE";
  /** `{id}`, `{mac}`, `{other}` (a UUID that nobody has heard of). */
  readonly path: string;
  readonly body?: unknown;
  readonly status: number;
  /** `""`: empty; a regular expression: of the error's message; else what the answer's JSON must hold. */
  readonly answer: "" | RegExp | null | object;
}
