/** `fleet power`: switches one machine. */
import { setTimeout as sleep } from "node:timers/promises";
import { nearest } from "../../config/nearest.ts";
import type { Answer, FleetClient } from "../../control/fleet-client/client.ts";
import { findMachine } from "../../control/fleet-client/machines.ts";
import { type PowerJob, powerActions, powerJobSchema } from "../../control/protocol/power.ts";
import { exitStatus } from "../command.ts";
import { isSet, requireWords, type Subcommand, wrongUsage } from "./subcommand.ts";
import { nameOf } from "./words.ts";

const ASK_AGAIN_MS = 500;

export const powerCommand: Subcommand = {
  options: { wait: { type: "boolean" } },
  async run({ client, output, values, words, confirm }) {
    const [reference = "", action = ""] = requireWords(words, 2, "a machine and an action");
    if (!powerActions.some((each) => each === action)) {
      throw wrongUsage(`${action} is no action; did you mean ${nearest(action, powerActions)}?`);
    }
    const machine = await findMachine(client, reference);
    if (action === "off" || action === "reset") {
      await confirm(`Power ${action} for ${nameOf(machine)}: its operating system is not asked.`);
    }
    const begun = await client.send("POST", `/machines/${machine.id}/power`, powerJobSchema, { body: { action } });
    const { value, text } = isSet(values, "wait") || action === "status" ? await wait(client, begun) : begun;
    if (output.isJson) output.json(text);
    else output.line(`${nameOf(machine)}: power ${action}: ${describe(value)}`);
    return value.state === "failed" ? exitStatus.refused : exitStatus.done;
  },
};

/** Until the job has ended; the endpoint gives each an end. */
async function wait(client: FleetClient, begun: Answer<PowerJob>): Promise<Answer<PowerJob>> {
  let job = begun;
  while (job.value.endedAt === null) {
    await sleep(ASK_AGAIN_MS);
    job = await client.get(`/power-jobs/${job.value.id}`, powerJobSchema);
  }
  return job;
}

function describe({ id, state, power, message }: PowerJob): string {
  if (state === "queued") return `${state}; job ${id}`;
  const said = state === "failed" && message !== null ? `: ${message}` : "";
  return `${state}${power === null ? "" : `; the machine is ${power}`}${said}`;
}
