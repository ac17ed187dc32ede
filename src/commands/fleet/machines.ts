/** `fleet list`, `show`, `approve` and `enrolment-code`: who is there, and who is let in. */
import { nearest } from "../../config/nearest.ts";
import { findMachine, listMachines } from "../../control/fleet-client/machines.ts";
import { codeSchema } from "../../control/protocol/enrolment.ts";
import { machineIdSchema } from "../../control/protocol/identity.ts";
import { type Machine, type MachineSummary, machineSchema, machineStates } from "../../control/protocol/machine.ts";
import { conditions, titleOf } from "../../control/view/condition.ts";
import { exitStatus } from "../command.ts";
import { numberOf, requireText, requireWords, type Subcommand, textOf, wrongUsage } from "./subcommand.ts";
import { activityOf, minuteOf, nameOf, stateOf } from "./words.ts";

const states: readonly string[] = [...conditions, ...machineStates];

export const listCommand: Subcommand = {
  options: { state: { type: "string" } },
  async run({ client, output, values, words }) {
    if (words.length > 1) throw wrongUsage(`list takes one query, and ${words.join(" ")} was given`);
    const state = textOf(values, "state");
    if (state !== undefined && !states.includes(state)) {
      throw wrongUsage(`--state ${state}: there is no such state; did you mean ${nearest(state, states)}?`);
    }
    const { machines, pages } = await listMachines(client, words[0] ?? null);
    const isWanted = (machine: MachineSummary) =>
      state === undefined || stateOf(machine) === state || machine.state === state;
    const wanted = machines.filter(isWanted);
    if (output.isJson) {
      const [whole = "", ...others] = pages;
      // What is chosen from is as the server gave it; one whole page is printed as it came.
      output.json(
        state === undefined && others.length === 0 ? whole : JSON.stringify({ machines: wanted, next: null }),
      );
      return exitStatus.done;
    }
    const rows = wanted.map((machine) => [
      nameOf(machine),
      stateOf(machine),
      machine.imageId ?? "-",
      machine.configuration,
      minuteOf(machine.lastSeenAt),
      activityOf(machine),
    ]);
    output.table(["MACHINE", "STATE", "IMAGE", "NEXT BOOT", "SEEN (UTC)", "DOING"], rows);
    return exitStatus.done;
  },
};

export const showCommand: Subcommand = {
  options: {},
  async run({ client, output, words }) {
    const [reference = ""] = requireWords(words, 1, "one machine");
    const { id } = await findMachine(client, reference);
    const { value, text } = await client.get(`/machines/${id}`, machineSchema);
    if (output.isJson) output.json(text);
    else for (const [key, said] of factsOf(value)) output.line(`${key.padEnd(12)} ${said.replaceAll("\n", " ")}`);
    return exitStatus.done;
  },
};

function factsOf(machine: Machine): (readonly [string, string])[] {
  const { reinstall, run, bootInfo } = machine;
  const facts: [string, string | null][] = [
    ["id", machine.id],
    ["name", machine.name],
    ["state", `${stateOf(machine)} (${machine.state}${machine.locked ? ", locked" : ""})`],
    ["macs", machine.macs.join(" ")],
    ["serial", machine.serial],
    ["image", machine.imageId],
    ["next boot", machine.configuration],
    ["reinstalling", reinstall === null ? null : `${reinstall.state}: ${activityOf(machine)}`],
    ["last run", run === null ? null : `${run.id}: ${run.outcome ?? "under way"}, disk ${run.target}`],
    ["disk", bootInfo === null ? null : bootInfo.primary_disk],
    ["power", machine.power?.adapter ?? null],
    ["fingerprint", machine.fingerprint],
    ["address", machine.address],
    ["seen", minuteOf(machine.lastSeenAt)],
    ["known since", minuteOf(machine.createdAt)],
  ];
  return facts.flatMap(([key, said]) => (said === null || said === "" ? [] : [[key, said] as const]));
}

export const approveCommand: Subcommand = {
  options: { fingerprint: { type: "string" } },
  async run({ client, output, values, words }) {
    const [reference = ""] = requireWords(words, 1, "one machine");
    const fingerprint = requireText(values, "fingerprint").toLowerCase();
    const { id } = await findMachine(client, reference);
    const { value, text } = await client.send("POST", `/machines/${id}/approve`, machineSchema, {
      body: { fingerprint },
    });
    if (output.isJson) output.json(text);
    else output.line(`${titleOf(value)} (${value.id}) is approved`);
    return exitStatus.done;
  },
};

export const enrolmentCodeCommand: Subcommand = {
  options: { machine: { type: "string" }, hours: { type: "string" } },
  async run({ client, output, values, words }) {
    requireWords(words, 0, "no more words");
    const reference = textOf(values, "machine");
    const hours = numberOf(values, "hours", 1, 720);
    // A machine that is not known yet has no name but its id.
    const id = reference === undefined ? undefined : machineIdSchema.safeParse(reference).data;
    const machineId = reference === undefined ? undefined : (id ?? (await findMachine(client, reference)).id);
    const body = { ...(machineId === undefined ? {} : { machineId }), expiresInSeconds: (hours ?? 24) * 3600 };
    const { value, text } = await client.send("POST", "/enrolment-codes", codeSchema, { body });
    if (output.isJson) output.json(text);
    else {
      output.line(value.code);
      output.note(
        `good once, for ${machineId ?? "any machine"}, until ${minuteOf(value.expiresAt)} UTC; it is not shown again`,
      );
    }
    return exitStatus.done;
  },
};
