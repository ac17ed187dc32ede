/** Several machines, in words. */
import type { MachineSummary } from "../../protocol/machine.ts";
import { titleOf } from "../../view/condition.ts";
import { showPlainly } from "../../view/plain-text.ts";

/** `kiosk-017`, or `12 machines`. */
export function namesOf(machines: readonly MachineSummary[]): string {
  const [first] = machines;
  return machines.length === 1 && first !== undefined ? showPlainly(titleOf(first)) : `${machines.length} machines`;
}

export function Skipped({ count }: { readonly count: number }) {
  if (count === 0) return null;
  return (
    <p class="dim">
      {count === 1 ? "1 selected machine is" : `${count} selected machines are`} left out: it does not apply to them
      now.
    </p>
  );
}
