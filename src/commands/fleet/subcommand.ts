/** What a command of `reimage fleet` is, and what it is given. */
import type { parseArgs } from "node:util";
import type { FleetClient } from "../../control/fleet-client/client.ts";
import { ReimageError } from "../../errors.ts";
import type { Output } from "./output.ts";

export type Values = Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>;
export type OptionTypes = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>["options"]>;

/** A call, after its options were parsed. */
export interface Call {
  readonly client: FleetClient;
  readonly output: Output;
  readonly values: Values;
  readonly words: readonly string[];
  /** Asks on the terminal, unless --yes was given. @throws ReimageError `usage` where nobody can be asked; `aborted` for no. */
  confirm(what: string): Promise<void>;
}

export interface Subcommand {
  /** The options beside those that all commands have. */
  readonly options: OptionTypes;
  /** @returns the exit status. */
  run(call: Call): Promise<number>;
}

/** The text of an option; undefined where it was not given. */
export function textOf(values: Values, name: string): string | undefined {
  const value = values[name];
  return typeof value === "string" ? value : undefined;
}

/** @throws ReimageError `usage` where it was not given. */
export function requireText(values: Values, name: string): string {
  const text = textOf(values, name);
  if (text === undefined || text === "") throw wrongUsage(`--${name} is missing`);
  return text;
}

export function isSet(values: Values, name: string): boolean {
  return values[name] === true;
}

/** A whole number; undefined where it was not given. @throws ReimageError `usage` */
export function numberOf(values: Values, name: string, least: number, most: number): number | undefined {
  const text = textOf(values, name);
  if (text === undefined) return undefined;
  const number = Number(text);
  if (/^[0-9]{1,6}$/.test(text) && number >= least && number <= most) return number;
  throw wrongUsage(`--${name} ${text}: expected a whole number from ${least} to ${most}`);
}

/** Exactly so many words. @param what names them, for the message. @throws ReimageError `usage` */
export function requireWords(words: readonly string[], count: number, what: string): readonly string[] {
  if (words.length === count && !words.includes("")) return words;
  throw wrongUsage(`expected ${what}, and ${words.length === 0 ? "nothing" : words.join(" ")} was given`);
}

/** At least one word. @throws ReimageError `usage` */
export function requireMachines(words: readonly string[]): readonly string[] {
  if (words.length > 0 && !words.includes("")) return words;
  throw wrongUsage("which machine? Name it by its id, name or MAC");
}

export function wrongUsage(message: string): ReimageError {
  return new ReimageError("usage", message, { hint: "`reimage fleet --help` lists commands and options" });
}
