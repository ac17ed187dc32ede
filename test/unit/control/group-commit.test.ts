import { expect, test } from "bun:test";
import { createGroupCommit } from "../../../src/control/server/database/group-commit.ts";
import { ReimageError } from "../../../src/errors.ts";

/** A commit that notes its batches, doubles numbers, refuses negative ones and cannot bear zero. */
function doubling(mostItems: number) {
  const batches: (readonly number[])[] = [];
  const submit = createGroupCommit<number, number>(async (items) => {
    batches.push(items);
    await Promise.resolve();
    if (items.includes(0)) throw new Error("zero");
    return items.map((item) => (item < 0 ? { error: new Error("negative") } : { result: 2 * item }));
  }, mostItems);
  return { batches, submit };
}

test("what comes together is committed together, and what comes meanwhile is the next batch", async () => {
  const { batches, submit } = doubling(3);
  expect(await Promise.all([1, 2, 3, 4].map(submit))).toEqual([2, 4, 6, 8]);
  expect(batches).toEqual([[1, 2, 3], [4]]);
  expect(await submit(5)).toBe(10);
});

test("one that is refused, or spoils its batch, is alone with that", async () => {
  const { batches, submit } = doubling(10);
  const outcomes = await Promise.allSettled([1, -1, 0, 2].map(submit));
  expect(outcomes.map((outcome) => (outcome.status === "fulfilled" ? outcome.value : outcome.reason.message))).toEqual([
    2,
    "negative",
    "zero",
    4,
  ]);
  expect(batches).toEqual([[1, -1, 0, 2], [1], [-1], [0], [2]]);
});

test("where the database is at fault, all are told so at once", async () => {
  let tries = 0;
  const submit = createGroupCommit<number, number>(async () => {
    tries += 1;
    throw new ReimageError("unavailable", "gone");
  }, 10);
  const outcomes = await Promise.allSettled([1, 2, 3].map(submit));
  expect(outcomes.map((outcome) => (outcome.status === "rejected" ? outcome.reason.code : ""))).toEqual(
    Array(3).fill("unavailable"),
  );
  expect(tries).toBe(1);
});

test("a batch that is answered in part is no success for the rest", async () => {
  const submit = createGroupCommit<number, number>(async () => [{ result: 1 }], 10);
  const [first, second] = await Promise.allSettled([submit(1), submit(2)]);
  expect(first?.status).toBe("fulfilled");
  expect(second?.status).toBe("rejected");
});
