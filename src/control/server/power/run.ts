/** Switches a machine: fills the template, runs the command, understands its answer. */
import { setTimeout as sleep } from "node:timers/promises";
import { ReimageError } from "../../../errors.ts";
import type { PowerAction, PowerAdapter, PowerVariables } from "./adapter.ts";
import { type ProgramResult, runProgram } from "./program.ts";
import { redact, secretsOf } from "./redact.ts";
import { type Filled, fillArgument, fillText } from "./template.ts";

/** What was learned. `power` is null where the action does not ask for it. */
export interface PowerResult {
  readonly power: "on" | "off" | "unknown" | null;
  /** What the command printed, without secrets. */
  readonly output: string;
}

export interface PowerOptions {
  /** Ends the command. Whether the machine did what was asked is not known then. A reason that is text is told. */
  readonly signal?: AbortSignal | undefined;
}

/** Between two attempts: what refuses at once is often out of sessions. */
const RETRY_PAUSE_MS = 1000;
const MAX_SHOWN_CHARACTERS = 4000;

/**
 * Runs an action on a machine. A reset asks for the status first: a machine that is off is turned on instead, and one of
 * which it is not known is left alone.
 * @throws ReimageError (code `power`) naming machine, action, command line, how it ended and what it said; no secrets.
 */
export async function runPower(
  adapter: PowerAdapter,
  action: PowerAction,
  variables: PowerVariables,
  options: PowerOptions = {},
): Promise<PowerResult> {
  if (action !== "reset") return runCommand(adapter, action, variables, options);
  requireCommand(adapter, action, variables);
  const { power, output } = await runCommand(adapter, "status", variables, options);
  if (power === "on") return runCommand(adapter, "reset", variables, options);
  if (power === "off") return runCommand(adapter, "on", variables, options);
  const said = output === "" ? "nothing" : JSON.stringify(output);
  throw new ReimageError(
    "power",
    `${variables.machine}: power reset: whether it is on is not known: status said ${said}`,
    {
      hint: "nothing was switched; compare what status said with statusOn and statusOff of the power adapter",
    },
  );
}

/** One command, again where that does no harm. */
async function runCommand(
  adapter: PowerAdapter,
  action: PowerAction,
  variables: PowerVariables,
  { signal }: PowerOptions,
): Promise<PowerResult> {
  const argv = requireCommand(adapter, action, variables);
  const values = { ...adapter.defaults, ...variables };
  const fill = (filled: Filled) => requireFilled(filled, action, variables);
  const [program = "", ...args] = argv.map((argument) => fill(fillArgument(argument, values)));
  const env = Object.fromEntries(
    Object.entries(adapter.env).map(([name, text]) => [name, fill(fillText(text, values))]),
  );
  const secrets = secretsOf(adapter, variables);
  const show = (text: string) => redact(text, secrets).trim().slice(-MAX_SHOWN_CHARACTERS);

  const attempts = action === "reset" ? 1 : 1 + adapter.retries;
  for (let attempt = 1; ; attempt++) {
    const result = await runProgram(program, args, { env, timeoutSeconds: adapter.timeoutSeconds, signal });
    const isExpected = new RegExp(adapter.expected[action] ?? "", "m").test(result.stdout);
    const hasSucceeded = result.exitCode === 0 && result.stopped === null && result.problem === null && isExpected;
    const power = action === "status" ? powerOf(adapter, result.stdout) : null;
    const isLast = attempt === attempts || result.stopped === "cancelled";
    if (hasSucceeded && (power !== "unknown" || isLast)) return { power, output: show(result.stdout) };
    if (isLast) {
      const commandLine = show([program, ...args].join(" "));
      const ending = show(describeEnd(result, adapter.timeoutSeconds, signal));
      const complaints = [show(result.stderr), show(result.stdout)].filter((text) => text !== "");
      const said = complaints.length === 0 ? "" : `: ${complaints.join("\n")}`;
      const tries = attempt === 1 ? "" : ` (attempt ${attempt} of ${attempts})`;
      throw new ReimageError(
        "power",
        `${variables.machine}: power ${action}: ${commandLine} ${ending}${tries}${said}`,
        {
          hint: hintOf(result, program),
        },
      );
    }
    await sleep(RETRY_PAUSE_MS, undefined, { signal }).catch(() => {}); // cancelled: the next attempt says so
  }
}

function powerOf(adapter: PowerAdapter, stdout: string): "on" | "off" | "unknown" {
  const isOn = new RegExp(adapter.statusOn, "m").test(stdout);
  const isOff = new RegExp(adapter.statusOff, "m").test(stdout);
  if (isOn === isOff) return "unknown";
  return isOn ? "on" : "off";
}

/**
 * The template of an action.
 * @throws ReimageError (code `power`) where the adapter has none.
 */
export function requireCommand(
  adapter: PowerAdapter,
  action: PowerAction,
  variables: PowerVariables,
): readonly string[] {
  const argv = adapter.commands[action];
  if (argv !== undefined) return argv;
  const message = `${variables.machine}: power ${action}: power adapter ${JSON.stringify(adapter.name)} has no command for it`;
  throw new ReimageError("power", message, { hint: "nothing was switched; write one down, or do it by hand" });
}

function requireFilled(filled: Filled, action: PowerAction, variables: PowerVariables): string {
  if ("text" in filled) return filled.text;
  throw new ReimageError("power", `${variables.machine}: power ${action}: ${filled.problem}`, {
    hint: "nothing was switched; correct the machine's power variables",
  });
}

function describeEnd(result: ProgramResult, timeoutSeconds: number, signal: AbortSignal | undefined): string {
  if (result.stopped === "timeout") return `was killed: no end after ${timeoutSeconds} s`;
  if (result.stopped === "cancelled")
    return `was cancelled${typeof signal?.reason === "string" ? `: ${signal.reason}` : ""}`;
  if (result.problem !== null) return `could not be run to its end (${result.problem})`;
  if (result.signal !== null) return `was ended by ${result.signal}`;
  const unexpected = result.exitCode === 0 ? ", but did not print what the power adapter expects" : "";
  return `ended with status ${result.exitCode}${unexpected}`;
}

function hintOf(result: ProgramResult, program: string): string {
  if (result.stopped !== null) return "whether the machine did it is not known: ask for its status";
  if (result.exitCode === null && result.signal === null) return `nothing was switched; is ${program} installed here?`;
  return "the machine may not have been switched: ask for its status";
}
