/** `fleet reinstall`, `cancel` and `retry`. */
import { randomUUID } from "node:crypto";
import { findMachines } from "../../control/fleet-client/machines.ts";
import type { MachineSummary } from "../../control/protocol/machine.ts";
import { type Reinstall, reinstallSchema } from "../../control/protocol/reinstall.ts";
import { ReimageError } from "../../errors.ts";
import { forEachMachine } from "./each-machine.ts";
import { isSet, numberOf, requireMachines, requireText, type Subcommand, textOf } from "./subcommand.ts";
import { nameOf } from "./words.ts";

const MOST_NAMES = 10;

/** `kiosk-1, kiosk-2 and 7 more` */
export function namesOf(machines: readonly MachineSummary[]): string {
  const names = machines.slice(0, MOST_NAMES).map(nameOf).join(", ");
  return machines.length > MOST_NAMES ? `${names} and ${machines.length - MOST_NAMES} more` : names;
}

const countOf = (machines: readonly MachineSummary[]) =>
  machines.length === 1 ? "1 machine" : `${machines.length} machines`;

export const reinstallCommand: Subcommand = {
  options: {
    image: { type: "string" },
    attempts: { type: "string" },
    reason: { type: "string" },
    key: { type: "string" },
    "power-cycle": { type: "boolean" },
  },
  async run({ client, output, values, words, confirm }) {
    const references = requireMachines(words);
    const body = {
      imageId: requireText(values, "image"),
      powerCycle: isSet(values, "power-cycle"),
      mostAttempts: numberOf(values, "attempts", 1, 20) ?? 3,
      reason: textOf(values, "reason") ?? "",
    };
    const idempotencyKey = textOf(values, "key") ?? randomUUID();
    const machines = await findMachines(client, references);
    const when = body.powerCycle ? "now" : "at its next network boot";
    await confirm(
      `Reinstall ${countOf(machines)} with ${body.imageId}, each ${when}: ${namesOf(machines)}. Its system is overwritten.`,
    );
    return await forEachMachine(
      output,
      machines,
      ({ id }) => client.send("POST", `/machines/${id}/reinstalls`, reinstallSchema, { body, idempotencyKey }),
      describe,
    );
  },
};

function describe({ imageId, state, powerJobId }: Reinstall): string {
  return `${state}: ${imageId}${powerJobId === null ? "" : `; power job ${powerJobId}`}`;
}

function openOf(machine: MachineSummary): string {
  if (machine.reinstall !== null) return machine.reinstall.id;
  throw new ReimageError("conflict", `machine ${nameOf(machine)} is not being reinstalled`);
}

export const cancelCommand: Subcommand = {
  options: {},
  async run({ client, output, words }) {
    const machines = await findMachines(client, requireMachines(words));
    return await forEachMachine(
      output,
      machines,
      async (machine) => await client.send("DELETE", `/reinstalls/${openOf(machine)}`, reinstallSchema),
      () => "cancelled: its disk is untouched, and it boots from it",
    );
  },
};

export const retryCommand: Subcommand = {
  options: {},
  async run({ client, output, words, confirm }) {
    const machines = await findMachines(client, requireMachines(words));
    await confirm(`Try the reinstallation of ${countOf(machines)} again: ${namesOf(machines)}.`);
    return await forEachMachine(
      output,
      machines,
      async (machine) => await client.send("POST", `/reinstalls/${openOf(machine)}/retry`, reinstallSchema),
      describe,
    );
  },
};
