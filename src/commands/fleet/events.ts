/** `fleet events`: the log of a run, whole or as it comes. */
import { z } from "zod";
import type { FleetClient } from "../../control/fleet-client/client.ts";
import { followRun } from "../../control/fleet-client/follow.ts";
import { findMachine } from "../../control/fleet-client/machines.ts";
import { runIdSchema } from "../../control/protocol/identity.ts";
import { type Run, runSchema, type WireEvent, wireEventSchema } from "../../control/protocol/run.ts";
import { type LogLine, linesOf } from "../../control/view/log-lines.ts";
import { describeError, ReimageError } from "../../errors.ts";
import { exitStatus } from "../command.ts";
import type { Output } from "./output.ts";
import { isSet, requireWords, type Subcommand } from "./subcommand.ts";
import { nameOf } from "./words.ts";

const PAGE = 5000;
const pageSchema = z.object({ events: z.array(wireEventSchema) });

export const eventsCommand: Subcommand = {
  options: { follow: { type: "boolean" } },
  async run({ client, output, values, words }) {
    const [reference = ""] = requireWords(words, 1, "one machine or run");
    const run = await findRun(client, reference);
    if (isSet(values, "follow")) {
      await follow(client, output, run);
      return exitStatus.done;
    }
    const { events, text } = await readEvents(client, run.id);
    if (output.isJson) output.json(text);
    else for (const line of linesOf(events)) output.line(formatLine(line));
    return exitStatus.done;
  },
};

/** A run by its id, or the last one of a machine. */
async function findRun(client: FleetClient, reference: string): Promise<Run> {
  if (runIdSchema.safeParse(reference).success) {
    try {
      return (await client.get(`/runs/${reference}`, runSchema)).value;
    } catch (error) {
      // Machines have ids of the same form.
      if (!(error instanceof ReimageError) || error.code !== "not-found") throw error;
    }
  }
  const machine = await findMachine(client, reference);
  if (machine.run === null) throw new ReimageError("not-found", `machine ${nameOf(machine)} has told of no run yet`);
  return (await client.get(`/runs/${machine.run.id}`, runSchema)).value;
}

/** All events of a run, and the server's own words where one answer holds them. */
async function readEvents(client: FleetClient, runId: string): Promise<{ events: WireEvent[]; text: string }> {
  const events: WireEvent[] = [];
  for (;;) {
    const after = events.at(-1)?.seq ?? 0;
    const { value, text } = await client.get(`/runs/${runId}/events?after=${after}&limit=${PAGE}`, pageSchema);
    events.push(...value.events);
    if (value.events.length === PAGE) continue;
    return { events, text: events.length === value.events.length ? text : JSON.stringify({ events }) };
  }
}

/** Prints events as they come, with --json each as a line, until the run has ended. */
async function follow(client: FleetClient, output: Output, { id, endedAt }: Run): Promise<void> {
  const print = (events: readonly WireEvent[], isShown = (_line: LogLine) => true) => {
    if (output.isJson) for (const event of events) output.json(JSON.stringify(event));
    else for (const line of linesOf(events).filter(isShown)) output.line(formatLine(line));
  };
  if (endedAt !== null) return print((await readEvents(client, id)).events);
  const onTrouble = (error: ReimageError) => output.note(`${describeError(error)}; trying again`);
  const isTold = progressFilter();
  for await (const events of followRun(client, id, onTrouble)) {
    print(events, isTold);
    const last = events.at(-1)?.type;
    if (last === "run-finished" || last === "run-failed") return;
  }
}

const STEP_MS = 10_000;

/** Progress comes several times a second; one line in ten seconds will do. */
function progressFilter(): (line: LogLine) => boolean {
  let shownAtMs = 0;
  return ({ kind }) => {
    if (kind !== "progress") return true;
    const nowMs = performance.now();
    if (shownAtMs !== 0 && nowMs - shownAtMs < STEP_MS) return false;
    shownAtMs = nowMs;
    return true;
  };
}

/** `14:03:22 write   the disk is partial` (pure) */
export function formatLine({ time, kind, stage, text }: LogLine): string {
  const mark = kind === "warning" ? "warning: " : "";
  const indented = text.replaceAll("\n", `\n${" ".repeat(17)}`);
  return `${time.padEnd(8)} ${stage.padEnd(7)} ${mark}${indented}`.trimEnd();
}
