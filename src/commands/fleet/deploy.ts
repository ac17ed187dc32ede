/** `fleet deploy`: what the next network boots get. */
import { z } from "zod";
import { findMachines } from "../../control/fleet-client/machines.ts";
import { deploymentSchema, LOCAL } from "../../control/protocol/boot.ts";
import { exitStatus } from "../command.ts";
import { namesOf } from "./reinstall.ts";
import { isSet, numberOf, requireMachines, type Subcommand, textOf, wrongUsage } from "./subcommand.ts";
import { nameOf } from "./words.ts";

const answerSchema = z.object({ deployments: z.array(deploymentSchema) });

export const deployCommand: Subcommand = {
  options: { boots: { type: "string" }, afterwards: { type: "string" }, now: { type: "boolean" } },
  async run({ client, output, values, words, confirm }) {
    const [configuration, ...references] = words;
    if (configuration === undefined) throw wrongUsage("which boot configuration?");
    const boots = numberOf(values, "boots", 1, 1000) ?? null;
    const afterwards = textOf(values, "afterwards") ?? LOCAL;
    if (boots === null && values.afterwards !== undefined) throw wrongUsage("--afterwards needs --boots");
    const powerCycle = isSet(values, "now");
    const machines = await findMachines(client, requireMachines(references));
    const body = { machines: machines.map(({ id }) => id), boots, afterwards, powerCycle };
    const howLong =
      boots === null ? "until something else is deployed" : `for ${boots} network boots, then ${afterwards}`;
    const now = powerCycle ? " They are reset and boot from the network now." : "";
    if (configuration !== LOCAL || powerCycle) {
      await confirm(`Deploy ${configuration} ${howLong}: ${namesOf(machines)}.${now}`);
    }
    const path = `/boot-configurations/${encodeURIComponent(configuration)}/deploy`;
    const { value, text } = await client.send("POST", path, answerSchema, { body });
    const names = new Map(machines.map((machine) => [machine.id, nameOf(machine)]));
    if (output.isJson) output.json(text);
    else {
      const rows = value.deployments.map((each) => [
        names.get(each.machineId) ?? each.machineId,
        each.configuration,
        each.boots === null ? "all" : String(each.boots),
        each.boots === null ? "-" : each.afterwards,
      ]);
      output.table(["MACHINE", "NEXT BOOT", "BOOTS", "AFTERWARDS"], rows);
    }
    return exitStatus.done;
  },
};
