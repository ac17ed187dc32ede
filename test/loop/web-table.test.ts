/** A web server that shows another partition table while the image is judged than when it is written. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Manifest, Segment } from "../../src/image/manifest/manifest.ts";
import { type CliResult, readReport, runCli } from "../support/cli.ts";
import { HttpServer } from "../support/http-server.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { type Kiosk, openKiosk } from "../support/open-kiosk.ts";
import { expectRefused, runAfresh } from "../support/refusals.ts";
import { makeNewImage, makeOldDisk, retentionList, tinyDiskSizes, tinyImageSizes } from "../support/small-kiosk.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const MIB = 1 << 20;
const labels = `t${process.pid}`;
const stack = new AsyncDisposableStack();
let base: TemporaryDirectory;
let server: HttpServer;
const at = (name: string) => join(base.dir, name);

beforeAll(async () => {
  base = stack.use(await temporaryDirectory());
  writeFileSync(at("list"), retentionList);
  await makeNewImage(at("new.img"), "gpt", { sizes: tinyImageSizes, programMiB: 2 });
  await makeOldDisk(at("old.img"), "gpt", {}, { labels, sizes: tinyDiskSizes });
  execFileSync("minisign", ["-G", "-W", "-p", at("own.pub"), "-s", at("own.key")], { stdio: "ignore" });
  const options = ["--level", "1", "--secret-key", at("own.key"), "--image-version", "1"];
  expect(await runCli(["pack", at("new.img"), "--output", at("os.zst"), ...options])).toMatchObject({ exitCode: 0 });
  server = stack.use(await HttpServer.start(base.dir));
});
afterAll(() => stack.disposeAsync());

/** The packed image with partitions 3 and 4 exchanged in its table: as large as the real one, segment by segment. */
function forge(): Buffer {
  const dump = execFileSync("sfdisk", ["--dump", at("new.img")], { encoding: "utf8" });
  const line = (number: number) => new RegExp(`^(\\S*${number} : )(start=.*)$`, "m");
  const place = (number: number) => line(number).exec(dump)?.[2] ?? "";
  const exchanged = dump.replace(line(3), `$1${place(4)}`).replace(line(4), `$1${place(3)}`);
  execFileSync("cp", [at("new.img"), at("forged.img")]);
  execFileSync("sfdisk", ["--quiet", "--no-reread", "--no-tell-kernel", at("forged.img")], { input: exchanged });
  const manifest = JSON.parse(readFileSync(at("os.zst.manifest.json"), "utf8")) as Manifest;
  const [first] = manifest.segments as [Segment];
  const raw = readFileSync(at("forged.img")).subarray(0, first.rawSizeBytes);
  const frame = execFileSync("zstd", ["-q", "-19", "-c"], { input: raw, maxBuffer: 64 * MIB });
  const padding = Buffer.alloc(first.sizeBytes - frame.length);
  padding.writeUInt32LE(0x184d2a50, 0); // a skippable frame
  padding.writeUInt32LE(padding.length - 8, 4);
  const forged = readFileSync(at("os.zst"));
  Buffer.concat([frame, padding]).copy(forged, first.offsetBytes);
  return forged;
}

/** A run with a server that gives the forged image until the disk is written. */
async function runWithForger(kiosk: Kiosk): Promise<CliResult> {
  const forged = forge();
  const isWritten = () => {
    execFileSync("blockdev", ["--flushbufs", kiosk.loop]);
    return readFileSync(kiosk.loop).subarray(0, 512).equals(Buffer.alloc(512));
  };
  server.script = ({ path, range }) =>
    path !== "/os.zst" || range === null || isWritten()
      ? null
      : { body: forged.subarray(range.startBytes, range.endBytes) };
  const set = { "image.source": server.url("/os.zst"), "image.publicKey": at("own.pub"), ...kiosk.byDevice };
  return await runAfresh(kiosk, set);
}

const openFresh = () => openKiosk({ layout: "gpt", oldDisk: at("old.img"), list: at("list"), labels });

test("where the block map is signed: refused, and the disk is untouched", async () => {
  await using kiosk = await openFresh();
  const untouched = await kiosk.sha256();
  const result = await runWithForger(kiosk);
  expectRefused(kiosk, result, { code: "image", says: "not the one that its manifest vouches for" });
  expect(await kiosk.sha256()).toBe(untouched);
});

/** Signs a manifest that says less than the one that was packed. */
function signWithout(...fields: (keyof Manifest)[]): void {
  const manifest = Object.entries(JSON.parse(readFileSync(at("os.zst.manifest.json"), "utf8")) as Manifest);
  const left = manifest.filter(([name]) => !fields.some((field) => field === name));
  writeFileSync(at("os.zst.manifest.json"), JSON.stringify(Object.fromEntries(left)));
  execFileSync("minisign", ["-S", "-s", at("own.key"), "-m", at("os.zst.manifest.json")], { stdio: "ignore" });
}

test("where only the whole image has a digest, and the manifest names its partitions: refused as well", async () => {
  await using kiosk = await openFresh();
  const untouched = await kiosk.sha256();
  signWithout("blockMap");
  const result = await runWithForger(kiosk);
  expectRefused(kiosk, result, { code: "image", says: /has partitions .*; its manifest says/ });
  expect(await kiosk.sha256()).toBe(untouched);
});

test("where nothing tells of the partitions before: nothing is restored by it, and the disk does not boot", async () => {
  await using kiosk = await openFresh();
  signWithout("blockMap", "partitionTable");
  const result = await runWithForger(kiosk);
  expect(readReport(kiosk.workDir)).toMatchObject({
    outcome: "failed",
    target: "partial",
    stage: "write",
    code: "image",
    reason: expect.stringContaining("another partition table"),
  });
  expect(result.exitCode).toBe(4);
  expect(readFileSync(kiosk.loop).subarray(0, MIB).equals(Buffer.alloc(MIB))).toBe(true);
});
