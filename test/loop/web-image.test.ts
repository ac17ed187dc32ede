/** Whole runs with an image on a web server: what a slow, broken or lying server does to the disk. */
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync, readSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ErrorCode } from "../../src/errors.ts";
import { readReport, runCli } from "../support/cli.ts";
import { isProgress } from "../support/following.ts";
import { type Fault, HttpServer, type SeenRequest } from "../support/http-server.ts";
import { sha256Hex } from "../support/judged-image.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { noise } from "../support/make-disk.ts";
import { openKiosk } from "../support/open-kiosk.ts";
import { eventsOf, expectRefused, runAfresh } from "../support/refusals.ts";
import { makeNewImage, makeOldDisk, retentionList, tinyDiskSizes, tinyImageSizes } from "../support/small-kiosk.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const MIB = 1 << 20;
const labels = `w${process.pid}`;
const stack = new AsyncDisposableStack();
let base: TemporaryDirectory;
let server: HttpServer;
let raw: Buffer;
let packedBytes: number;
const at = (name: string) => join(base.dir, name);
const openFresh = () => openKiosk({ layout: "gpt", oldDisk: at("old.img"), list: at("list"), labels });

beforeAll(async () => {
  base = stack.use(await temporaryDirectory());
  writeFileSync(at("list"), retentionList);
  await makeNewImage(at("new.img"), "gpt", { sizes: tinyImageSizes, programMiB: 2 });
  await makeOldDisk(at("old.img"), "gpt", {}, { labels, sizes: tinyDiskSizes });
  raw = readFileSync(at("new.img"));
  execFileSync("minisign", ["-G", "-W", "-p", at("own.pub"), "-s", at("own.key")], { stdio: "ignore" });
  const options = ["--level", "3", "--secret-key", at("own.key"), "--image-version", "1"];
  expect(await runCli(["pack", at("new.img"), "--output", at("os.zst"), ...options])).toMatchObject({ exitCode: 0 });
  execFileSync("zstd", ["-q", "-3", at("new.img"), "-o", at("plain.zst")]);
  packedBytes = statSync(at("os.zst")).size;
  server = stack.use(await HttpServer.start(base.dir));
});
afterAll(() => stack.disposeAsync());
beforeEach(() => {
  server.script = () => null;
  server.requests.length = 0;
});

const quick = { "image.timeoutSeconds": "4", "image.stallSeconds": "6" };
const signed = () => ({ ...quick, "image.source": server.url("/os.zst"), "image.publicKey": at("own.pub") });
const isImage = (request: SeenRequest) => request.path === "/os.zst" && request.method === "GET";

test("a signed image is streamed to the disk: no copy in memory, and no byte that is not mapped", async () => {
  await using fresh = await openFresh();
  expect(await runAfresh(fresh, { ...signed(), ...fresh.byDevice })).toMatchObject({ exitCode: 0, stderr: "" });
  expect(readReport(fresh.workDir)).toMatchObject({ outcome: "success", image: { sha256: sha256Hex(raw) } });
  expect(eventsOf(fresh).some(isProgress(/copying|decoding/))).toBe(false);
  expect(existsSync(join(fresh.workDir, "image"))).toBe(false);
});

test("an image that nobody has signed for is copied into memory first, and judged there", async () => {
  await using fresh = await openFresh();
  const set = { ...quick, "image.source": server.url("/plain.zst"), ...fresh.byDevice };
  expect(await runAfresh(fresh, set)).toMatchObject({ exitCode: 0, stderr: "" });
  expect(eventsOf(fresh).some(isProgress(/copying the image to memory/))).toBe(true);
  expect(eventsOf(fresh).some(isProgress(/decoding/))).toBe(true);
  expect(readReport(fresh.workDir)).toMatchObject({ readback: sha256Hex(raw) });
});

test("passwords are in no record", async () => {
  await using fresh = await openFresh();
  const set = { ...signed(), "image.source": server.url("/os.zst", "kiosk:secret99@127.0.0.1"), ...fresh.byDevice };
  expect(await runAfresh(fresh, set)).toMatchObject({ exitCode: 0 });
  for (const name of ["events.ndjson", "reimage.log", "report.json"]) {
    expect(readFileSync(join(fresh.workDir, name), "utf8")).not.toContain("secret99");
  }
});

describe("a server that recovers", () => {
  /** Misbehaves in the first answers that are asked for the image, from the stage of the run on that is wanted. */
  const once = (fault: (request: SeenRequest) => Fault) => {
    let left = 2;
    server.script = (request) => {
      if (!isImage(request) || request.range === null || left === 0) return null;
      left -= 1;
      return fault(request);
    };
  };
  const lengthOf = ({ range }: SeenRequest) => (range === null ? packedBytes : range.endBytes - range.startBytes);
  test.each<[string, (request: SeenRequest) => Fault]>([
    ["breaks the connection at 50 %", (request) => ({ onlyBytes: Math.floor(lengthOf(request) / 2) })],
    ["breaks the connection one byte too early", (request) => ({ onlyBytes: lengthOf(request) - 1 })],
    ["resets the connection", (request) => ({ onlyBytes: Math.floor(lengthOf(request) / 3), ending: "reset" })],
    ["is overloaded", () => ({ status: 503 })],
  ])("one that %s costs time, and nothing else", async (_what, fault) => {
    await using fresh = await openFresh();
    once(fault);
    expect(await runAfresh(fresh, { ...signed(), ...fresh.byDevice })).toMatchObject({ exitCode: 0, stderr: "" });
    expect(readReport(fresh.workDir)).toMatchObject({ outcome: "success" });
  });
});

describe("a server that fails", () => {
  test.each<[string, (request: SeenRequest) => Fault | null, ErrorCode]>([
    ["has no image", (request) => (request.path === "/os.zst" ? { status: 404 } : null), "image"],
    ["has no manifest", (request) => (request.path.endsWith(".json") ? { status: 404 } : null), "signature"],
    ["has no signature", (request) => (request.path.endsWith(".minisig") ? { status: 404 } : null), "signature"],
    ["has no block map", (request) => (request.path.endsWith(".bmap") ? { status: 404 } : null), "image"],
    ["says another length", (r) => (r.path === "/os.zst" ? { headers: { "content-length": "7" } } : null), "image"],
    ["is silent", () => ({ silent: true }), "image"],
  ])("one that %s: refused, and the disk is untouched", async (_what, script, code) => {
    await using fresh = await openFresh();
    const untouched = await fresh.sha256();
    server.script = script;
    const result = await runAfresh(fresh, { ...signed(), ...fresh.byDevice });
    expectRefused(fresh, result, { code, says: /./ });
    expect(await fresh.sha256()).toBe(untouched);
  });

  /** What a server does once the write has begun: the first bytes of the disk are zero then. */
  const whileWriting = (loop: string, fault: Fault) => {
    server.script = (request) => (isImage(request) && isBeingWritten(loop) ? fault : null);
  };
  const isBeingWritten = (loop: string) => {
    execFileSync("blockdev", ["--flushbufs", loop]);
    const [first, fd] = [Buffer.alloc(512, 1), openSync(loop, "r")];
    readSync(fd, first);
    closeSync(fd);
    return first.equals(Buffer.alloc(512));
  };
  test.each<[string, Fault, RegExp]>([
    ["loses the image", { status: 404 }, /404|not there|no longer/],
    ["dies", { hangUp: true }, /./],
    ["gives a changed image", { headers: { etag: '"other"' } }, /changed/],
  ])(
    "one that %s while the disk is written: the disk does not boot, and nothing says success",
    async (_what, fault, says) => {
      await using fresh = await openFresh();
      whileWriting(fresh.loop, fault);
      const result = await runAfresh(fresh, { ...signed(), ...fresh.byDevice });
      expect(result).toMatchObject({ exitCode: 4 });
      expect(readReport(fresh.workDir)).toMatchObject({
        outcome: "failed",
        target: "partial",
        reason: expect.stringMatching(says),
      });
      expect(readFileSync(fresh.loop).subarray(0, MIB).equals(Buffer.alloc(MIB))).toBe(true);
      // What is in memory is enough to carry on once the server is back.
      server.script = () => null;
      const set = Object.entries({ ...signed(), ...fresh.byDevice }).flatMap(([key, value]) => [
        "--set",
        `${key}=${value}`,
      ]);
      expect(await runCli(["run", "--yes", ...fresh.arguments, ...set])).toMatchObject({ exitCode: 0 });
    },
  );

  test("one that swaps the bytes of the image, and nothing else: what differs is not written", async () => {
    await using fresh = await openFresh();
    const good = readFileSync(at("os.zst"));
    try {
      writeFileSync(at("swapped"), noise("swapped", good.length));
      server.script = (request) => {
        if (isImage(request) && isBeingWritten(fresh.loop) && existsSync(at("swapped")))
          renameSync(at("swapped"), at("os.zst"));
        return request.path === "/os.zst" ? { headers: { etag: '"same"', "last-modified": null } } : null;
      };
      expect((await runAfresh(fresh, { ...signed(), ...fresh.byDevice })).exitCode).toBe(4);
      expect(readReport(fresh.workDir)).toMatchObject({ target: "partial", code: "image" });
    } finally {
      writeFileSync(at("os.zst"), good);
    }
  });
});
