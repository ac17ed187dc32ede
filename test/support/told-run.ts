/** A kiosk whose runs are told to an endpoint, and what the endpoint then knows. */
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Machine } from "../../src/control/protocol/machine.ts";
import type { Run, WireEvent } from "../../src/control/protocol/run.ts";
import type { TestMachine, TestServe } from "./control-server.ts";
import type { Kiosk } from "./open-kiosk.ts";

/** The options by which a run of this kiosk speaks to `url` as that machine. */
export function speaksTo(kiosk: Kiosk, url: string, machine: Pick<TestMachine, "id" | "token"> | null): string[] {
  const file = join(kiosk.directory, "control.token");
  writeFileSync(file, `${machine?.token ?? "nobody's"}\n`, { mode: 0o600 });
  return [
    ...["--set", `control.url=${url}`, "--set", `control.tokenFile=${file}`],
    ...["--set", `control.machine=${machine?.id ?? randomUUID()}`, "--set", "control.timeoutSeconds=3"],
  ];
}

/** Everything that an endpoint knows of a machine and its last run. */
export async function knownOf(serve: TestServe, machine: TestMachine) {
  const { runs } = await serve.must<{ runs: Run[] }>("GET", `/runs?machine=${machine.id}`);
  const last = runs[0];
  const events = last === undefined ? [] : await eventsOfRun(serve, last.id);
  return { machine: await serve.must<Machine>("GET", `/machines/${machine.id}`), runs, run: last, events };
}

export async function eventsOfRun(serve: TestServe, runId: string): Promise<WireEvent[]> {
  const all: WireEvent[] = [];
  for (;;) {
    const after = all.at(-1)?.seq ?? 0;
    const { events } = await serve.must<{ events: WireEvent[] }>("GET", `/runs/${runId}/events?after=${after}`);
    if (events.length === 0) return all;
    all.push(...events);
  }
}
