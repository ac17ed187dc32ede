/** The control of a mutant: the fault that it brings along, in a program that has the safety. */
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { firmwareVariables, runMachine } from "./machine.ts";
import { isArmedAgain } from "./recording.ts";
import { makeDisks, nameOf, type Scenario } from "./scenario.ts";

const limits = { seconds: 1800, silentSeconds: 300 };

/**
 * Arms a machine and starts it. @param program has the fault.
 * @returns what is wrong; null where the lifeboat noticed the fault and the old system came up again, with its identity.
 */
export async function runControl(parent: string, scenario: Scenario, program: string): Promise<string | null> {
  const folder = join(parent, `${nameOf(scenario)}-control`);
  const { old } = await makeDisks(folder, scenario, program);
  const { firmware, sectorSizeBytes } = scenario;
  const variables = join(folder, "variables");
  copyFileSync(firmwareVariables, variables);
  const machine = { firmware, sectorSizeBytes, disk: old, sku: "arm", ...(firmware === "uefi" ? { variables } : {}) };
  const { serial } = await runMachine(machine, limits, isArmedAgain);
  writeFileSync(join(folder, "serial.txt"), serial);
  const [first, second] = [...serial.matchAll(/small-os: old identity (\S+)/g)].map(([, identity]) => identity);
  if (second === undefined) return "the old system did not come up again";
  if (first !== second) return "the old system has lost its identity";
  return /does not hold what was parked/.test(serial) ? null : "nobody noticed the fault";
}
