import { expect, test } from "bun:test";
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

/** Bytes as an input, in pieces. */
async function* piecesOf(content: Buffer): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += 100_000) yield content.subarray(at, at + 100_000);
}

async function drain(filter: Filter): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (;;) {
    const buffer = Buffer.alloc(77_777);
    const readBytes = await filter.read(buffer);
    pieces.push(buffer.subarray(0, readBytes));
    if (readBytes < buffer.length) return Buffer.concat(pieces);
  }
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
const packed = gzipSync(content);

test("a filter passes everything through", async () => {
  await using filter = startFilter("gzip", ["-c"], piecesOf(content));
  expect(gunzipSync(await drain(filter)).equals(content)).toBe(true);
});

test("a filter that fails says so, and not that its output has ended", async () => {
  await using filter = startFilter("gzip", ["-dc"], piecesOf(content), { code: "image" });
  expect(await refusalOf(drain(filter))).toMatchObject({
    code: "image",
    message: expect.stringMatching(/^gzip -dc ended with status 1: .*not in gzip format$/),
  });
});

test("a filter whose input is cut off says so at the end of what it made of it", async () => {
  await using filter = startFilter("gzip", ["-dc"], piecesOf(packed.subarray(0, -1)));
  expect((await refusalOf(drain(filter))).message).toContain("unexpected end of file");
});

test("a filter that complains although it succeeds has failed", async () => {
  await using filter = startFilter("gzip", ["-cv"], piecesOf(content));
  expect((await refusalOf(drain(filter))).message).toStartWith("gzip -cv complained");
});

test("an input that fails is the reason, and not what the filter makes of half of it", async () => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield packed.subarray(0, 1000);
    throw new ReimageError("image", "the medium is broken");
  }
  await using filter = startFilter("gzip", ["-dc"], failing());
  expect(await refusalOf(drain(filter))).toMatchObject({ code: "image", message: "the medium is broken" });
});

test("a filter can be ended before and while its output is read, and its input is closed then", async () => {
  for (const readFirst of [false, true]) {
    let isClosed = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield content;
      } finally {
        isClosed = true;
      }
    }
    {
      await using filter = startFilter("gzip", ["-c"], endless());
      const buffer = Buffer.alloc(10);
      if (readFirst) expect(await filter.read(buffer)).toBe(buffer.length);
    }
    expect(isClosed).toBe(true);
  }
});

test("a filter that ends does not wait for an input that is silent", async () => {
  async function* silent(first: Buffer): AsyncGenerator<Uint8Array> {
    yield first;
    await new Promise(() => {});
  }
  const ended = startFilter("gzip", ["-c"], silent(content));
  await ended[Symbol.asyncDispose]();
  await using failed = startFilter("gzip", ["-dc"], silent(content));
  expect((await refusalOf(drain(failed))).message).toContain("not in gzip format");
});

test("a command that is not there is named", async () => {
  const filter = startFilter("nowhere" as "gzip", [], piecesOf(content));
  expect((await refusalOf(drain(filter))).message).toContain("could not be started");
  await filter[Symbol.asyncDispose]();
});

test("tools are looked for where they are run from, and nowhere else", () => {
  expect(hasTool("mount")).toBe(true);
  process.env.PATH = `/nowhere:${process.env.PATH}`;
  expect(missingTools()).toEqual([]);
});
