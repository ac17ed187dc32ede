/** What a subcommand is, and what it answers to the shell. */
import type { ErrorCode } from "../errors.ts";
import type { Outcome } from "../stages/run.ts";

/** A subcommand: what `--help` says of it, and what it does. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly usage: string;
  /** @returns the exit status. */
  run(args: readonly string[]): Promise<number>;
}

/** The exit statuses of the contract. */
export const exitStatus = { done: 0, usage: 2, refused: 3, failed: 4 } as const;

/** The exit status of a failure that has not touched the target. */
export function statusOfRefusal(code: ErrorCode): number {
  return code === "usage" || code === "config" ? exitStatus.usage : exitStatus.refused;
}

/** The exit status of a run. */
export function statusOf(outcome: Outcome): number {
  if (outcome.kind === "success") return exitStatus.done;
  return outcome.target === "untouched" ? statusOfRefusal(outcome.error.code) : exitStatus.failed;
}
