/** The same request for several machines, a few at a time, and what became of each. */
import type { Answer } from "../../control/fleet-client/client.ts";
import type { MachineSummary } from "../../control/protocol/machine.ts";
import { asReimageError, describeError, type ReimageError } from "../../errors.ts";
import { exitStatus } from "../command.ts";
import type { Output } from "./output.ts";
import { nameOf } from "./words.ts";

const AT_ONCE = 8;

type Result<T> = { readonly machine: MachineSummary } & (
  | { readonly answer: Answer<T> }
  | { readonly error: ReimageError }
);

/**
 * Asks for each machine, and prints a line for each.
 * @param describe an answer, in words.
 * @returns the exit status: done, refused for all of them, or done for some.
 */
export async function forEachMachine<T>(
  output: Output,
  machines: readonly MachineSummary[],
  ask: (machine: MachineSummary) => Promise<Answer<T>>,
  describe: (value: T) => string,
): Promise<number> {
  const results = new Array<Result<T>>(machines.length);
  const queue = machines.entries();
  async function worker(): Promise<void> {
    for (const [index, machine] of queue) {
      try {
        results[index] = { machine, answer: await ask(machine) };
      } catch (thrown) {
        results[index] = { machine, error: asReimageError(thrown) };
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  if (output.isJson) output.json(`{"results":[${results.map(asJson).join(",")}]}`);
  else
    output.table(
      ["MACHINE", "RESULT"],
      results.map((result) => [nameOf(result.machine), inWords(result, describe)]),
    );
  const failed = results.filter((result) => "error" in result).length;
  if (failed === 0) return exitStatus.done;
  return failed === results.length ? exitStatus.refused : exitStatus.failed;
}

function asJson<T>(result: Result<T>): string {
  const machineId = JSON.stringify(result.machine.id);
  if ("answer" in result) return `{"machineId":${machineId},"answer":${result.answer.text}}`;
  const { code, message, hint } = result.error;
  return `{"machineId":${machineId},"error":${JSON.stringify({ code, message, ...(hint === undefined ? {} : { hint }) })}}`;
}

function inWords<T>(result: Result<T>, describe: (value: T) => string): string {
  if ("answer" in result) return describe(result.answer.value);
  const { hint } = result.error;
  return `refused: ${describeError(result.error)}${hint === undefined ? "" : ` (${hint})`}`;
}
