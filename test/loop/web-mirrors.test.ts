/** Several web servers that say they have the same image: without a manifest nobody knows whether they do. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readReport } from "../support/cli.ts";
import { HttpServer } from "../support/http-server.ts";
import { sha256Hex } from "../support/judged-image.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { openKiosk } from "../support/open-kiosk.ts";
import { expectRefused, runAfresh } from "../support/refusals.ts";
import { makeNewImage, makeOldDisk, retentionList, tinyDiskSizes, tinyImageSizes } from "../support/small-kiosk.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const labels = `m${process.pid}`;
const stack = new AsyncDisposableStack();
let base: TemporaryDirectory;
let first: HttpServer;
let second: HttpServer;
const at = (name: string) => join(base.dir, name);
const openFresh = () => openKiosk({ layout: "gpt", oldDisk: at("old.img"), list: at("list"), labels });

beforeAll(async () => {
  base = stack.use(await temporaryDirectory());
  writeFileSync(at("list"), retentionList);
  for (const directory of ["a", "b"]) mkdirSync(at(directory));
  await makeNewImage(at("a/os.img"), "gpt", { sizes: tinyImageSizes, programMiB: 2 });
  await makeOldDisk(at("old.img"), "gpt", {}, { labels, sizes: tinyDiskSizes });
  const other = readFileSync(at("a/os.img"));
  other[other.length - 4096] = 1; // another build: as large, and valid too
  writeFileSync(at("b/os.img"), other);
  first = stack.use(await HttpServer.start(at("a")));
  second = stack.use(await HttpServer.start(at("b")));
  first.script = ({ range }) => {
    const sizeBytes = range === null ? 0 : range.endBytes - range.startBytes;
    return sizeBytes > 1 << 20 ? { onlyBytes: sizeBytes / 2 } : null;
  };
});
afterAll(() => stack.disposeAsync());

const set = () => ({ "image.source": first.url("/os.img"), "image.mirrors": `[${second.url("/os.img")}]` });

test("without a manifest they are refused, and the disk is untouched", async () => {
  await using kiosk = await openFresh();
  const untouched = await kiosk.sha256();
  const result = await runAfresh(kiosk, { ...set(), ...kiosk.byDevice });
  expectRefused(kiosk, result, { code: "image", says: "has mirrors and no manifest" });
  expect(await kiosk.sha256()).toBe(untouched);
});

test("with a manifest that nobody has signed, a mixture of two images is found out", async () => {
  await using kiosk = await openFresh();
  const untouched = await kiosk.sha256();
  const raw = readFileSync(at("a/os.img"));
  const contents = { sizeBytes: raw.length, sha256: sha256Hex(raw) };
  const manifest = {
    schemaVersion: 1,
    imageId: "os",
    version: 1,
    raw: contents,
    compressed: contents,
    sectorSizeBytes: 512,
  };
  writeFileSync(at("a/os.img.manifest.json"), JSON.stringify(manifest));
  const result = await runAfresh(kiosk, { ...set(), ...kiosk.byDevice });
  expectRefused(kiosk, result, { code: "image", says: "is not the one of its manifest" });
  expect(await kiosk.sha256()).toBe(untouched);
  writeFileSync(at("b/os.img"), raw);
  expect(await runAfresh(kiosk, { ...set(), ...kiosk.byDevice })).toMatchObject({ exitCode: 0 });
  expect(readReport(kiosk.workDir)).toMatchObject({ outcome: "success", readback: sha256Hex(raw) });
});
