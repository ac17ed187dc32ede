/** Images as `reimage pack` makes them, and as bmaptool describes them: from the pack to the disk. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatBlockMap, parseBlockMap } from "../../src/image/manifest/block-map.ts";
import type { Manifest } from "../../src/image/manifest/manifest.ts";
import { readReport, runCli } from "../support/cli.ts";
import { isProgress } from "../support/following.ts";
import { sha256Hex } from "../support/judged-image.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { openKiosk } from "../support/open-kiosk.ts";
import { eventsOf, expectRefused, type Refusal, runAfresh } from "../support/refusals.ts";
import { makeNewImage, makeOldDisk, retentionList, tinyDiskSizes, tinyImageSizes } from "../support/small-kiosk.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const MIB = 1 << 20;
const labels = `p${process.pid}`;
const stack = new AsyncDisposableStack();
let base: TemporaryDirectory;
let raw: Buffer;
const at = (name: string) => join(base.dir, name);
const openFresh = () => openKiosk({ layout: "gpt", oldDisk: at("old.img"), list: at("list"), labels });

async function pack(output: string, ...options: string[]): Promise<Manifest> {
  const packed = await runCli(["pack", at("new.img"), "--output", at(output), "--level", "3", ...options]);
  expect(packed).toMatchObject({ exitCode: 0 });
  return JSON.parse(readFileSync(at(`${output}.manifest.json`), "utf8"));
}

beforeAll(async () => {
  base = stack.use(await temporaryDirectory());
  writeFileSync(at("list"), retentionList);
  await makeNewImage(at("new.img"), "gpt", { sizes: tinyImageSizes, programMiB: 2 });
  await makeOldDisk(at("old.img"), "gpt", {}, { labels, sizes: tinyDiskSizes });
  raw = readFileSync(at("new.img"));
  execFileSync("minisign", ["-G", "-W", "-p", at("own.pub"), "-s", at("own.key")], { stdio: "ignore" });
  await pack("new.img.zst", "--compress", "zst", "--secret-key", at("own.key"), "--image-version", "7");
  await pack("new.img.bz2", "--compress", "bz2", "--secret-key", at("own.key"), "--image-version", "7");
});
afterAll(() => stack.disposeAsync());

const signed = (name: string) => ({ "image.source": at(name), "image.publicKey": at("own.pub") });

describe.each(["new.img.zst", "new.img.bz2"])("%s, packed and signed", (name) => {
  test("is written without being decoded first; only what is mapped is written, and read back", async () => {
    await using fresh = await openFresh();
    const result = await runAfresh(fresh, { ...signed(name), ...fresh.byDevice });
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    const map = parseBlockMap(readFileSync(at(`${name}.bmap`), "utf8"), "map");
    const digests = map.ranges.map(({ sha256 }) => Buffer.from(sha256, "hex"));
    expect(readReport(fresh.workDir)).toMatchObject({
      outcome: "success",
      image: { sha256: sha256Hex(raw) },
      readback: sha256Hex(Buffer.concat(digests)),
    });
    const events = eventsOf(fresh);
    expect(events.some(isProgress(/decoding/))).toBe(false);
    const mappedBytes = map.ranges.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const written = events.filter(isProgress(/writing the image/)).at(-1);
    expect(written).toMatchObject({ doneBytes: mappedBytes, totalBytes: mappedBytes });
    expect(mappedBytes).toBeLessThan(raw.length / 2);
  });

  test("is refused where its block map is missing or another one", async () => {
    await using fresh = await openFresh();
    const untouched = await fresh.sha256();
    const map = readFileSync(at(`${name}.bmap`));
    const expectRefusal = async (refusal: Refusal) => {
      expectRefused(fresh, await runAfresh(fresh, { ...signed(name), ...fresh.byDevice }), refusal);
      expect(await fresh.sha256()).toBe(untouched);
    };
    try {
      writeFileSync(at(`${name}.bmap`), map.with(map.length - 20, 0x20));
      await expectRefusal({ code: "image", says: /is not the one of the manifest/ });
      rmSync(at(`${name}.bmap`));
      await expectRefusal({ code: "image", says: /names a block map, and .* is not there/ });
    } finally {
      writeFileSync(at(`${name}.bmap`), map);
    }
  });
});

test("a signed map that lies about a range: what differs is not written, and nothing boots", async () => {
  const map = parseBlockMap(readFileSync(at("new.img.zst.bmap"), "utf8"), "map");
  const last = map.ranges.length - 1;
  const ranges = map.ranges.map((range, index) => (index === last ? { ...range, sha256: "0".repeat(64) } : range));
  copyFileSync(at("new.img.zst"), at("lie.zst"));
  writeFileSync(at("lie.zst.bmap"), formatBlockMap({ ...map, ranges }));
  const manifest = JSON.parse(readFileSync(at("new.img.zst.manifest.json"), "utf8")) as Manifest;
  const sha256 = sha256Hex(readFileSync(at("lie.zst.bmap")));
  writeFileSync(at("lie.zst.manifest.json"), JSON.stringify({ ...manifest, blockMap: { sha256, unmapped: "zero" } }));
  execFileSync("minisign", ["-S", "-W", "-s", at("own.key"), "-m", at("lie.zst.manifest.json")], { stdio: "ignore" });
  await using fresh = await openFresh();
  expect((await runAfresh(fresh, { ...signed("lie.zst"), ...fresh.byDevice })).exitCode).toBe(4);
  const range = ranges[last];
  expect(readReport(fresh.workDir)).toMatchObject({
    target: "partial",
    reason: expect.stringContaining(`different bytes than when it was judged: from ${range?.offsetBytes} to`),
  });
  expect(readFileSync(fresh.loop).subarray(0, MIB).equals(Buffer.alloc(MIB))).toBe(true);
});

describe("a block map that bmaptool made", () => {
  beforeAll(() => {
    execFileSync("zstd", ["-q", "-3", "-f", at("new.img"), "-o", at("plain.zst")]);
    execFileSync("cp", ["--sparse=always", at("new.img"), at("sparse.img")]);
    execFileSync("bmaptool", ["create", "-o", at("plain.zst.bmap"), at("sparse.img")], { stdio: "ignore" });
  });

  test("counts without a manifest, once all of the image has been compared with it", async () => {
    await using fresh = await openFresh();
    expect(await runAfresh(fresh, { "image.source": at("plain.zst"), ...fresh.byDevice })).toMatchObject({
      exitCode: 0,
    });
    expect(eventsOf(fresh).some(isProgress(/decoding/))).toBe(true);
    const written = eventsOf(fresh)
      .filter(isProgress(/writing the image/))
      .at(-1);
    expect(written?.type === "progress" ? written.totalBytes : null).toBeLessThan(raw.length);
  });

  test("of another image is refused", async () => {
    await using fresh = await openFresh();
    const untouched = await fresh.sha256();
    const map = parseBlockMap(readFileSync(at("plain.zst.bmap"), "utf8"), "map");
    const cases: [typeof map, RegExp][] = [
      [
        { ...map, ranges: map.ranges.map((r, i) => (i === 1 ? { ...r, sha256: "1".repeat(64) } : r)) },
        /bytes \d+ to \d+ are others/,
      ],
      [{ ...map, ranges: map.ranges.filter((_, i) => i !== 1) }, /leaves out content/],
      [{ ...map, imageSizeBytes: map.imageSizeBytes + 4096 }, /its block map says/],
    ];
    for (const [other, says] of cases) {
      writeFileSync(at("plain.zst.bmap"), formatBlockMap(other));
      const result = await runAfresh(fresh, { "image.source": at("plain.zst"), ...fresh.byDevice });
      expectRefused(fresh, result, { code: "image", says });
      expect(await fresh.sha256()).toBe(untouched);
    }
  });
});

test("an older image is refused where a key is configured, unless that is permitted", async () => {
  await using fresh = await openFresh();
  const set = { ...signed("new.img.zst"), ...fresh.byDevice };
  expect(await runAfresh(fresh, set)).toMatchObject({ exitCode: 0 });
  await pack("older.zst", "--secret-key", at("own.key"), "--image-version", "6");
  const older = { ...set, "image.source": at("older.zst") };
  // The new system is the old one now, and its boot info names the version.
  expectRefused(fresh, await runAfresh(fresh, older), { code: "signature", says: /version 6, which is older than/ });
  expect(await runAfresh(fresh, { ...older, "image.allowOlder": "true" })).toMatchObject({ exitCode: 0 });
  expect(String(readReport(fresh.workDir).warnings)).toContain("image.allowOlder permits it");
});
