import { expect, test } from "bun:test";
import { asReimageError, describeError, ReimageError } from "../../src/errors.ts";

test("the causes are told, outermost first, and nothing twice", () => {
  const cause = new Error("no such file");
  expect(describeError(new ReimageError("image", "image a is not there", { cause }))).toBe(
    "image a is not there: no such file",
  );
  expect(describeError(new ReimageError("image", "image a: no such file", { cause }))).toBe("image a: no such file");
  expect(describeError("text")).toBe("text");
});

test("what was not expected is a bug that keeps its cause", () => {
  const thrown = new TypeError("x is undefined");
  expect(asReimageError(thrown)).toMatchObject({ code: "bug", message: "x is undefined", cause: thrown });
  expect(asReimageError("text")).toMatchObject({ code: "bug", message: "text" });
});

test("a failure is the reason, and not the failed cleaning up after it", async () => {
  async function run() {
    await using _resource = { [Symbol.asyncDispose]: () => Promise.reject(new Error("it is busy")) };
    throw new ReimageError("device-io", "the disk does not answer");
  }
  const thrown = await run().catch((error: unknown) => error);
  expect(asReimageError(thrown)).toMatchObject({ code: "device-io", message: "the disk does not answer" });
});
