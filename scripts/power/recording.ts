/**
 * Records a whole run, from arming to the first boot of the new system: the disk before it, every write, and what the
 * firmware's variables were before and after.
 */
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { shell } from "../kiosk/cache.ts";
import { checkSystem, readSystem, type SystemFacts } from "./disk-check.ts";
import { firmwareVariables, runMachine } from "./machine.ts";
import { makeDisks, nameOf, type Scenario } from "./scenario.ts";
import { identityOf, judgeSerial } from "./verdict.ts";

export interface Recording {
  readonly folder: string;
  readonly scenario: Scenario;
  /** Tells recordings of the same scenario apart. */
  readonly id: string;
  readonly identity: string;
  readonly old: SystemFacts;
  readonly new: SystemFacts;
  readonly seconds: number;
}

export const beforePath = ({ folder }: Recording): string => join(folder, "old.img");
export const logPath = ({ folder }: Recording): string => join(folder, "log");

/** The firmware's variables that a state is booted with: for one half of the states those before the run, else those after it. */
export function variablesOf(
  recording: Recording,
  stateId: string,
): { readonly when: "before" | "after"; readonly path: string } {
  const when = Bun.hash.wyhash(stateId) % 2n === 0n ? "before" : "after";
  return { when, path: when === "before" ? firmwareVariables : join(recording.folder, "variables") };
}

const limits = { seconds: 1800, silentSeconds: 300 };

/** Whether the old system has come up twice: it would be armed for ever. */
export const isArmedAgain = (serial: string): boolean => (serial.match(/small-os: old identity/g)?.length ?? 0) > 1;

/** @param parent where recordings are kept. @throws Error where the run did not end in the new system. */
export async function record(parent: string, scenario: Scenario, program: string): Promise<Recording> {
  const folder = join(parent, nameOf(scenario));
  const disks = await makeDisks(folder, scenario, program);
  const old = await readSystem(disks.old, disks.layouts.old);
  const image = await readSystem(disks.image, disks.layouts.new);
  const used = join(folder, "used.img");
  await shell`cp --sparse=always ${disks.old} ${used}`;
  const [variables, log] = [join(folder, "variables"), join(folder, "log")];
  copyFileSync(firmwareVariables, variables);
  writeFileSync(log, "");
  const { firmware, sectorSizeBytes } = scenario;
  const machine = { firmware, sectorSizeBytes, disk: used, writeLog: log, sku: "arm" };
  const ending = await runMachine({ ...machine, ...(firmware === "uefi" ? { variables } : {}) }, limits, isArmedAgain);
  writeFileSync(join(folder, "serial.txt"), ending.serial);
  const identity = identityOf(ending.serial) ?? "";
  const verdict = judgeSerial(ending, identity);
  if (verdict.outcome !== "new") {
    throw new Error(
      `the run that is to be cut did not end in the new system (${folder}/serial.txt): ${verdict.reason ?? verdict.boots.join()}`,
    );
  }
  const wrong = await checkSystem(used, image);
  if (wrong.length > 0) throw new Error(`the new system is not whole even without a power cut: ${wrong.join("; ")}`);
  rmSync(used);
  const id = new Bun.CryptoHasher("sha256").update(readFileSync(log)).digest("hex").slice(0, 12);
  const facts = { scenario, id, identity, old, new: image, seconds: Math.round(ending.seconds) };
  writeFileSync(join(folder, "recording.json"), JSON.stringify(facts));
  return { folder, ...facts };
}

/** The recording that is kept of a scenario; null where there is none. */
export function keptRecording(parent: string, scenario: Scenario): Recording | null {
  const folder = join(parent, nameOf(scenario));
  const path = join(folder, "recording.json");
  if (!existsSync(path)) return null;
  return { folder, ...JSON.parse(readFileSync(path, "utf8")) };
}
