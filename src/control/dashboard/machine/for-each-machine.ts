/** The same request for several machines, a few at a time. */
import type { MachineSummary } from "../../protocol/machine.ts";
import { titleOf } from "../../view/condition.ts";
import { ApiFailure, asFailure } from "../api.ts";

const AT_ONCE = 4;

/**
 * Does `work` for each machine but those in `done`, which it adds to: asked again, it goes on with what failed.
 * @throws ApiFailure that names the machines for which it failed, with the first one's reason.
 */
export async function forEachMachine(
  machines: readonly MachineSummary[],
  done: Set<string>,
  work: (machine: MachineSummary) => Promise<unknown>,
): Promise<void> {
  const left = machines.filter(({ id }) => !done.has(id));
  const failed: { readonly machine: MachineSummary; readonly failure: ApiFailure }[] = [];
  const queue = left.values();
  async function worker(): Promise<void> {
    for (const machine of queue) {
      try {
        await work(machine);
        done.add(machine.id);
      } catch (error) {
        failed.push({ machine, failure: asFailure(error) });
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  const [first] = failed;
  if (first === undefined) return;
  if (machines.length === 1) throw first.failure;
  const names = failed.slice(0, 5).map(({ machine }) => titleOf(machine));
  const more = failed.length > names.length ? ` and ${failed.length - names.length} more` : "";
  throw new ApiFailure(first.failure.status, {
    code: first.failure.code,
    message: `${failed.length} of ${machines.length} machines: ${first.failure.message} (${names.join(", ")}${more})`,
    ...(first.failure.hint === null ? {} : { hint: first.failure.hint }),
  });
}
