/** argv → command of `reimage fleet`. */
import { showPlainly } from "../../control/view/plain-text.ts";
import { asReimageError, describeError, ReimageError } from "../../errors.ts";
import { askForYes } from "./confirm.ts";
import { deployCommand } from "./deploy.ts";
import { eventsCommand } from "./events.ts";
import { configurationsCommand, imagesCommand } from "./library.ts";
import { approveCommand, enrolmentCodeCommand, listCommand, showCommand } from "./machines.ts";
import { type Environment, openClient, parseFleet } from "./options.ts";
import { createOutput } from "./output.ts";
import { powerCommand } from "./power.ts";
import { cancelCommand, reinstallCommand, retryCommand } from "./reinstall.ts";
import { isSet, type Subcommand } from "./subcommand.ts";
import { tokenCommand } from "./tokens.ts";

export const fleetCommands: Readonly<Record<string, Subcommand>> = {
  list: listCommand,
  show: showCommand,
  reinstall: reinstallCommand,
  cancel: cancelCommand,
  retry: retryCommand,
  deploy: deployCommand,
  events: eventsCommand,
  power: powerCommand,
  approve: approveCommand,
  "enrolment-code": enrolmentCodeCommand,
  images: imagesCommand,
  configurations: configurationsCommand,
  token: tokenCommand,
};

/** @returns the exit status. @throws ReimageError, in words that are safe to print. */
export async function runFleet(args: readonly string[], environment: Environment): Promise<number> {
  const { name, words, values } = parseFleet(args, fleetCommands);
  const columns = process.stdout.isTTY ? (process.stdout.columns ?? 80) : null;
  const output = createOutput(isSet(values, "json"), columns);
  process.stdout.on("error", () => process.exit(0)); // whoever reads has seen enough, as with `| head`
  try {
    const client = await openClient(values, environment, output.note);
    const confirm = (what: string) => (isSet(values, "yes") ? Promise.resolve() : askForYes(what));
    return (await fleetCommands[name]?.run({ client, output, values, words, confirm })) ?? 2;
  } catch (thrown) {
    const error = asReimageError(thrown);
    // Half of it may be a machine's words, by way of the server.
    const hint = error.hint === undefined ? {} : { hint: showPlainly(error.hint) };
    throw new ReimageError(error.code, showPlainly(describeError(error)), hint);
  }
}
