/** Power adapters: which command switches a machine, as templates of argument arrays (pure). docs/power.md */
import { z } from "zod";
import { nearest } from "../../../config/nearest.ts";
import { powerActions } from "../../protocol/power.ts";
import { fillArgument, fillText, placeholdersOf, templateProblem, type Values } from "./template.ts";

export type PowerAction = (typeof powerActions)[number];

/** The values of one machine for the placeholders. `machine` is its name: every message begins with it. */
export type PowerVariables = Values & { readonly machine: string };

/** How machines of one kind are switched. */
export interface PowerAdapter {
  readonly name: string;
  /** The program and its arguments; what the adapter cannot do is left out. */
  readonly commands: Readonly<Partial<Record<PowerAction, readonly string[]>>>;
  /** Regular expressions on what `status` prints; exactly one has to match. `^` and `$` are the ends of a line. */
  readonly statusOn: string;
  readonly statusOff: string;
  /** Regular expressions that what an action prints must match: some programs end with status 0 although they failed. */
  readonly expected: Readonly<Partial<Record<PowerAction, string>>>;
  /** How long one command may take. */
  readonly timeoutSeconds: number;
  /** How often a command that failed is started again. A reset never is: it may have happened. */
  readonly retries: number;
  /** Environment variables of the commands, templates too: the place for passwords, since anybody can see arguments. */
  readonly env: Readonly<Record<string, string>>;
  /** Values of variables that a machine need not give. */
  readonly defaults: Values;
}

const text = z.string("expected text (put a value made of digits in quotes)");
const template = text.superRefine((value, context) => {
  const problem = templateProblem(value);
  if (problem !== null) context.addIssue({ code: "custom", message: problem });
});
const command = z
  .array(template, "expected an array: the program and its arguments")
  .min(1, "must name a program")
  .refine((argv) => argv[0] !== "" && placeholdersOf(argv[0] ?? "").length === 0, "the program must be written out");
const pattern = text.refine(isRegExp, "is no regular expression");

/** An adapter in the hosts file. */
export const powerAdapterSchema: z.ZodType<PowerAdapter> = z
  .strictObject({
    name: text.regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, "expected letters, digits, dots, dashes and underscores"),
    commands: z.partialRecord(z.enum(powerActions), command),
    statusOn: pattern.default(""),
    statusOff: pattern.default(""),
    expected: z.partialRecord(z.enum(powerActions), pattern).default({}),
    timeoutSeconds: z.number("expected a number of seconds").positive().max(600).default(30),
    retries: z.int("expected a whole number").min(0).max(10).default(1),
    env: z
      .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "is no name of an environment variable"), template)
      .default({}),
    defaults: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "is no name of a variable"), text).default({}),
  })
  .superRefine(({ commands, statusOn, statusOff }, context) => {
    if (commands.status !== undefined && (statusOn === "" || statusOff === "")) {
      context.addIssue({ code: "custom", path: ["commands", "status"], message: "needs statusOn and statusOff" });
    }
    if (commands.reset !== undefined && commands.status === undefined) {
      const message = "needs a status command, since a machine that is off is turned on instead";
      context.addIssue({ code: "custom", path: ["commands", "reset"], message });
    }
  });

function isRegExp(source: string): boolean {
  try {
    new RegExp(source);
    return true;
  } catch {
    return false;
  }
}

/** The variables that an adapter's templates use, each once. */
export function variablesOf(adapter: PowerAdapter): string[] {
  const templates = [...Object.values(adapter.commands).flat(), ...Object.values(adapter.env)];
  return [...new Set(templates.flatMap(placeholdersOf))];
}

/**
 * What is wrong with a machine's variables for its adapter, found before anything is switched: missing ones, ones that no
 * template uses, values that cannot be an argument. Empty: nothing.
 */
export function variableProblems(adapter: PowerAdapter, variables: PowerVariables): string[] {
  const used = variablesOf(adapter);
  const known = [...new Set([...used, ...Object.keys(adapter.defaults)])];
  const unknown = Object.keys(variables)
    .filter((name) => name !== "machine" && !known.includes(name))
    .map((name) => {
      const meant = known.length === 0 ? "" : `; did you mean ${JSON.stringify(nearest(name, known))}?`;
      return `no command uses the variable ${JSON.stringify(name)}${meant}`;
    });
  const values = { ...adapter.defaults, ...variables };
  const filled = [
    ...Object.values(adapter.commands).flatMap((argv) => argv.map((argument) => fillArgument(argument, values))),
    ...Object.values(adapter.env).map((value) => fillText(value, values)),
  ];
  const unfillable = filled.flatMap((result) => ("problem" in result ? [result.problem] : []));
  const owner = `${variables.machine}: power adapter ${JSON.stringify(adapter.name)}: `;
  return [...new Set([...unknown, ...unfillable])].map((problem) => owner + problem);
}
