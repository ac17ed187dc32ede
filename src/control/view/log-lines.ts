/** Events as lines of a log (pure). Nothing is taken for granted of them: any field may be missing, or be something else. */

import { formatBytes, formatDuration } from "../../report/format.ts";
import type { WireEvent } from "../protocol/run.ts";
import { textOf } from "./plain-text.ts";

export interface LogLine {
  readonly seq: number;
  readonly time: string;
  readonly kind: "stage" | "step" | "detail" | "warning" | "failure" | "success" | "progress" | "disk";
  readonly stage: string;
  readonly text: string;
}

/** The lines for events in their order; of progress that follows on itself only the last is kept. */
export function linesOf(events: readonly WireEvent[]): LogLine[] {
  const lines: LogLine[] = [];
  let step = "";
  for (const event of events) {
    const stage = textOf(event.stage);
    const line = { seq: event.seq, time: clockOf(event.time), stage, ...describe(event) };
    const nextStep = event.type === "progress" ? `${stage} ${textOf(event.what)}` : "";
    if (nextStep !== "" && nextStep === step) lines[lines.length - 1] = line;
    else lines.push(line);
    step = nextStep;
  }
  return lines;
}

/** Both in the order of their sequence numbers, each once (pure). */
export function mergeEvents(before: readonly WireEvent[], more: readonly WireEvent[]): readonly WireEvent[] {
  const lastSeq = before.at(-1)?.seq ?? 0;
  if (more.every((event, at) => event.seq > (more[at - 1]?.seq ?? lastSeq))) return [...before, ...more];
  const bySeq = new Map([...before, ...more].map((event) => [event.seq, event]));
  return [...bySeq.values()].sort((a, b) => a.seq - b.seq);
}

function describe(event: WireEvent): Pick<LogLine, "kind" | "text"> {
  const text = (name: string) => textOf(event[name]);
  switch (event.type) {
    case "run-started":
      return {
        kind: "stage",
        text: `reimage ${text("version")}${event.restarted === true ? ", started again, carries on" : " starts"}`,
      };
    case "stage-started":
      return { kind: "stage", text: "begins" };
    case "stage-finished":
      return { kind: "stage", text: `finished after ${duration(event.seconds)}` };
    case "step":
      return { kind: "step", text: text("message") };
    case "detail":
      return { kind: "detail", text: text("message") };
    case "warning":
      return { kind: "warning", text: text("message") };
    case "target-state":
      return {
        kind: "disk",
        text: `the disk is ${text("state")}${event.state === "partial" && event.hasLifeboat === true ? ", and boots its lifeboat" : ""}`,
      };
    case "progress":
      return { kind: "progress", text: `${text("what")}: ${amount(event.doneBytes, event.totalBytes)}` };
    case "run-finished":
      return { kind: "success", text: "success: the disk holds the new system, read back and compared" };
    case "run-failed": {
      const hint = text("hint");
      return {
        kind: "failure",
        text: `failed, disk ${text("target")}: ${text("reason")}${hint === "" ? "" : `\n${hint}`}`,
      };
    }
    default: {
      const { seq: _seq, time: _time, type, ...rest } = event;
      return { kind: "detail", text: textOf(`${type} ${JSON.stringify(rest)}`) };
    }
  }
}

const duration = (seconds: unknown) => (typeof seconds === "number" ? formatDuration(seconds) : "unknown time");

function amount(done: unknown, total: unknown): string {
  if (typeof done !== "number") return "";
  return typeof total === "number" ? `${formatBytes(done)} of ${formatBytes(total)}` : formatBytes(done);
}

/** `14:03:22` as the machine has it, in UTC: its clock may be of 1970, and that is worth seeing. */
function clockOf(time: string): string {
  const match = /T(\d\d:\d\d:\d\d)/.exec(time);
  return match?.[1] ?? textOf(time).slice(0, 8);
}
