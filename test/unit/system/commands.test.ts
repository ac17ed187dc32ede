import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { ReimageError } from "../../../src/errors.ts";
import { type Filter, hasTool, missingTools, runCommand, startFilter } from "../../../src/system/commands.ts";

async function refusalOf(call: Promise<unknown>): Promise<ReimageError> {
  const thrown = await call.then(
    () => new Error("it succeeded"),
    (error: unknown) => error,
  );
  if (thrown instanceof ReimageError) return thrown;
  throw thrown;
}

async function drain(filter: Filter): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of filter.output) pieces.push(piece);
  return Buffer.concat(pieces);
}

test("what a command prints is returned", async () => {
  expect(await runCommand("gzip", ["--version"])).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining("gzip"),
  });
});

test("a failure names the command line, the status and what was said", async () => {
  const refusal = await refusalOf(runCommand("gzip", ["-t", "/nowhere.gz"], { code: "image", hint: "look there" }));
  expect(refusal).toMatchObject({ code: "image", hint: "look there" });
  expect(refusal.message).toMatch(/^gzip -t \/nowhere\.gz ended with status 1: .*No such file or directory$/);
});

test("a status that is an answer is no failure", async () => {
  expect(await runCommand("gzip", ["-t", "/nowhere.gz"], { accept: [1] })).toMatchObject({ exitCode: 1 });
});

test("messages are in English, whatever the language of the machine", async () => {
  process.env.LC_ALL = "de_DE.UTF-8";
  try {
    expect((await refusalOf(runCommand("gzip", ["-t", "/nowhere.gz"]))).message).toContain("No such file");
  } finally {
    delete process.env.LC_ALL;
  }
});

const content = Buffer.alloc(3_000_000, "reimage");
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "reimage-unit-"));
  writeFileSync(join(directory, "plain"), content);
  writeFileSync(join(directory, "packed"), gzipSync(content));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test("a filter passes everything through", async () => {
  const filter = startFilter("gzip", ["-c"], join(directory, "plain"));
  const packed = await drain(filter);
  await filter.finished();
  expect(gunzipSync(packed).equals(content)).toBe(true);
});

test("a filter that fails says so after its output has ended", async () => {
  const filter = startFilter("gzip", ["-dc"], join(directory, "plain"), { code: "image" });
  expect((await drain(filter)).length).toBe(0);
  expect(await refusalOf(filter.finished())).toMatchObject({
    code: "image",
    message: expect.stringMatching(/^gzip -dc ended with status 1: .*not in gzip format$/),
  });
});

test("a filter that complains although it succeeds has failed", async () => {
  const filter = startFilter("gzip", ["-cv"], join(directory, "plain"));
  await drain(filter);
  expect((await refusalOf(filter.finished())).message).toStartWith("gzip -cv complained");
});

test("a filter can be stopped before and while its output is read", async () => {
  const unread = startFilter("gzip", ["-dc"], join(directory, "packed"));
  await unread.stop();
  const read = startFilter("gzip", ["-dc"], join(directory, "packed"));
  for await (const piece of read.output) {
    expect(piece.length).toBeGreaterThan(0);
    break;
  }
  await read.stop();
  // Whichever is first: our signal, or the pipe that nobody reads.
  for (const filter of [unread, read]) expect((await refusalOf(filter.finished())).message).toMatch(/SIGKILL|SIGPIPE/);
});

test("tools are looked for where they are run from, and nowhere else", () => {
  expect(hasTool("mount")).toBe(true);
  process.env.PATH = `/nowhere:${process.env.PATH}`;
  expect(missingTools()).toEqual([]);
});
