/** That a message was not taken. */

/** `passing`: it may be taken next time. `lasting`: not before somebody has changed something. */
export type RefusalKind = "passing" | "lasting";

export class Refusal extends Error {
  readonly kind: RefusalKind;
  /** The HTTP status; null where there was no answer. */
  readonly status: number | null;
  readonly hint: string | undefined;
  /** How long the endpoint wants to be left alone (Retry-After), in seconds. */
  readonly pauseSeconds: number;

  /** @param reason continues the name of the endpoint: "answered 401" */
  constructor(
    kind: RefusalKind,
    status: number | null,
    reason: string,
    { hint, pauseSeconds = 0 }: { hint?: string; pauseSeconds?: number } = {},
  ) {
    super(reason);
    this.name = "Refusal";
    this.kind = kind;
    this.status = status;
    this.hint = hint;
    this.pauseSeconds = pauseSeconds;
  }
}
