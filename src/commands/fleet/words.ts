/** Machines and what they are at, in words for a table (pure). */

import type { MachineSummary } from "../../control/protocol/machine.ts";
import { conditionOf, progressOf } from "../../control/view/condition.ts";

export const nameOf = ({ name, id }: MachineSummary): string => name ?? id;

/** `2026-11-21 15:26`, in UTC. */
export function minuteOf(time: string | null): string {
  return time === null ? "never" : time.slice(0, 16).replace("T", " ");
}

/** `writing`, `parked`, … */
export const stateOf = (machine: MachineSummary): string => conditionOf(machine);

/** What is going on, with an amount where one is known. */
export function activityOf(machine: MachineSummary): string {
  const { reinstall, run } = machine;
  const done = progressOf(machine);
  const percent = done === null ? "" : ` ${Math.floor(done * 100)} %`;
  const what = run?.outcome === null && run.what !== null ? `${run.what}${percent}` : null;
  if (reinstall === null) return what ?? "";
  const attempt = reinstall.attempt === 0 ? "" : `, attempt ${reinstall.attempt}`;
  return [`${reinstall.imageId}${attempt}`, what, reinstall.reason].filter((part) => part !== null).join(": ");
}
