/**
 * Many small writes at a time in one transaction, or many questions in one query: what comes while one is under way waits
 * for the next.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { asReimageError } from "../../../errors.ts";

/** Hands in one item; resolves when it is durable. */
export type Submit<Item, Result> = (item: Item) => Promise<Result>;

/** The outcome of one item of a batch. */
export type Outcome<Result> = { readonly result: Result } | { readonly error: unknown };

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * @param commit makes a batch durable as a whole; says for each item, in order, what became of it. Where it throws, the
 * items are tried one by one, so that one of them cannot spoil the others, unless the database is at fault.
 * @param mostItems the largest batch.
 * @param gatherMilliseconds how long after a batch the next one begins at the earliest. One that comes alone does not wait.
 */
export function createGroupCommit<Item, Result>(
  commit: (items: readonly Item[]) => Promise<readonly Outcome<Result>[]>,
  mostItems: number,
  gatherMilliseconds = 0,
): Submit<Item, Result> {
  const queue: Waiting<Item, Result>[] = [];
  let isRunning = false;

  async function commitBatch(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    let outcomes: readonly Outcome<Result>[];
    try {
      outcomes = await commit(batch.map(({ item }) => item));
    } catch (error) {
      if (batch.length === 1 || asReimageError(error).code === "unavailable") {
        for (const { reject } of batch) reject(error);
        return;
      }
      for (const each of batch) await commitBatch([each]);
      return;
    }
    batch.forEach(({ resolve, reject }, index) => {
      const outcome = outcomes[index] ?? { error: new Error("a batch was answered in part") };
      if ("error" in outcome) reject(outcome.error);
      else resolve(outcome.result);
    });
  }

  async function drain(): Promise<void> {
    isRunning = true;
    while (queue.length > 0) {
      await commitBatch(queue.splice(0, mostItems));
      if (gatherMilliseconds > 0) await sleep(gatherMilliseconds);
    }
    isRunning = false;
  }

  return (item) =>
    new Promise((resolve, reject) => {
      queue.push({ item, resolve, reject });
      // Not at once: requests that have arrived together are taken together.
      if (!isRunning) {
        isRunning = true;
        setImmediate(() => void drain());
      }
    });
}
