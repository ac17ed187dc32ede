/** What vouches for an image: its manifest, signed or not. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Manifest } from "../../src/image/manifest/manifest.ts";
import { readReport, runCli } from "../support/cli.ts";
import { isProgress } from "../support/following.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { type Kiosk, openKiosk } from "../support/open-kiosk.ts";
import { eventsOf, expectRefused, type Refusal, runAfresh } from "../support/refusals.ts";
import {
  makeNewImage,
  makeOldDisk,
  retentionList,
  sha256Of,
  tinyDiskSizes,
  tinyImageSizes,
} from "../support/small-kiosk.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const labels = `m${process.pid}`;
const stack = new AsyncDisposableStack();
let base: TemporaryDirectory;
let kiosk: Kiosk;
let untouched: string;
let right: Manifest;
const at = (name: string) => join(base.dir, name);

beforeAll(async () => {
  base = stack.use(await temporaryDirectory());
  writeFileSync(at("list"), retentionList);
  await makeNewImage(at("new.img"), "gpt", { sizes: tinyImageSizes, programMiB: 2 });
  execFileSync("lbzip2", ["--keep", at("new.img")]);
  await makeOldDisk(at("old.img"), "gpt", {}, { labels, sizes: tinyDiskSizes });
  right = {
    schemaVersion: 1,
    imageId: "kiosk 2026.11",
    version: 7,
    raw: { sizeBytes: statSync(at("new.img")).size, sha256: await sha256Of(at("new.img")) },
    compressed: { sizeBytes: statSync(at("new.img.bz2")).size, sha256: await sha256Of(at("new.img.bz2")) },
    sectorSizeBytes: 512,
  };
  for (const name of ["own", "other"]) {
    execFileSync("minisign", ["-G", "-W", "-p", at(`${name}.pub`), "-s", at(`${name}.key`)], { stdio: "ignore" });
  }
  kiosk = stack.use(await openFresh());
  untouched = await kiosk.sha256();
});

afterAll(() => stack.disposeAsync());

const openFresh = () => openKiosk({ layout: "gpt", oldDisk: at("old.img"), list: at("list"), labels });
const manifestPath = () => at("new.img.bz2.manifest.json");
const source = () => ({ "image.source": at("new.img.bz2") });
const withKey = () => ({ ...source(), "image.publicKey": at("own.pub") });

/** Puts a manifest beside the image, without a signature. */
function putManifest(manifest: unknown): void {
  writeFileSync(manifestPath(), typeof manifest === "string" ? manifest : JSON.stringify(manifest));
  rmSync(`${manifestPath()}.minisig`, { force: true });
}

function sign(key: "own" | "other"): void {
  execFileSync("minisign", ["-S", "-W", "-s", at(`${key}.key`), "-m", manifestPath()], { stdio: "ignore" });
}

async function expectRefusedUntouched(set: Record<string, string>, refusal: Refusal): Promise<void> {
  expectRefused(kiosk, await runAfresh(kiosk, set), refusal);
  expect(await kiosk.sha256()).toBe(untouched);
}

/** @param decoded whether the image is decoded once to be judged, because nobody has signed for what is in it */
async function expectAccepted(set: Record<string, string>, decoded: boolean, without: string[] = []): Promise<void> {
  await using fresh = await openFresh();
  expect(await runAfresh(fresh, { ...set, ...fresh.byDevice }, { without })).toMatchObject({ exitCode: 0, stderr: "" });
  expect(readReport(fresh.workDir)).toMatchObject({
    outcome: "success",
    image: { id: right.imageId, sha256: right.raw.sha256 },
    readback: right.raw.sha256,
  });
  expect(eventsOf(fresh).some(isProgress(/decoding/))).toBe(decoded);
}

test("a right manifest is accepted, and tried", async () => {
  putManifest(right);
  await expectAccepted(source(), true);
});

test("without one, the image is decoded once to judge it", async () => {
  rmSync(manifestPath(), { force: true });
  await expectRefusedUntouched({ ...source(), "new.root": "9" }, { code: "image", says: /no partition 9/ });
  expect(eventsOf(kiosk).filter(isProgress(/decoding/)).length).toBeGreaterThan(0);
});

describe("a wrong manifest", () => {
  const digest = "0".repeat(64);
  test.each<[string, (manifest: Manifest) => unknown, Refusal]>([
    [
      "another size",
      (m) => ({ ...m, compressed: { ...m.compressed, sizeBytes: 1 } }),
      { code: "image", says: /has \d+ bytes; its manifest says 1/ },
    ],
    [
      "another digest",
      (m) => ({ ...m, compressed: { ...m.compressed, sha256: digest } }),
      { code: "image", says: /is not the one of its manifest/ },
    ],
    [
      "a raw size beyond the disk",
      (m) => ({ ...m, raw: { ...m.raw, sizeBytes: 1 << 30 } }),
      { code: "too-small", says: /is 1073741824 bytes/ },
    ],
    [
      "a raw size that its partitions exceed",
      (m) => ({ ...m, raw: { ...m.raw, sizeBytes: 8 << 20 } }),
      { code: "image", says: /decodes to \d+ bytes; its manifest says 8388608/ },
    ],
    [
      "another sector size",
      (m) => ({ ...m, sectorSizeBytes: 4096 }),
      { code: "image", says: /made for sectors of 4096 bytes/ },
    ],
    [
      "a larger disk",
      (m) => ({ ...m, leastDiskBytes: 2 ** 40 }),
      { code: "too-small", says: /asks for a disk of 1099511627776 bytes; \/dev\/loop/ },
    ],
    [
      "more memory",
      (m) => ({ ...m, leastRamBytes: 2 ** 50 }),
      { code: "memory", says: /asks for 1125899906842624 bytes of memory/ },
    ],
    [
      "other partitions",
      (m) => ({ ...m, partitionTable: [{ number: 1, startBytes: 1 << 20, sizeBytes: 1 << 20 }] }),
      { code: "image", says: /has partitions 1 at .*; its manifest says 1 at 1048576 \(1048576 bytes\)/ },
    ],
    ["something unknown", (m) => ({ ...m, hardwareId: "x" }), { code: "image", says: /unknown field "hardwareId"/ }],
    ["no JSON", () => "{", { code: "image", says: /is no JSON/ }],
  ])("that says %s", async (_what, change, refusal) => {
    putManifest(change(right));
    await expectRefusedUntouched(source(), refusal);
  });

  test("that is named and not there", async () => {
    const set = { ...source(), "image.manifest": at("none.json") };
    await expectRefusedUntouched(set, { code: "image", says: /none\.json is not there/ });
  });

  // The file is the one that it vouches for, so only decoding it shows that it lies about what is inside.
  test("about what the image decodes to is refused before anything is written", async () => {
    putManifest({ ...right, raw: { ...right.raw, sha256: digest } });
    await expectRefusedUntouched(source(), { code: "image", says: /decodes to sha256 .*; its manifest says 0000/ });
    putManifest({ ...right, raw: { ...right.raw, sizeBytes: right.raw.sizeBytes + 512 } });
    await expectRefusedUntouched(source(), { code: "image", says: /decodes to \d+ bytes; its manifest says/ });
  });
});

describe("where a public key is configured", () => {
  test.each([
    ["lbzip2", []],
    ["unbzip2-stream", ["lbzip2"]],
  ])("a valid signature is accepted, and saves decoding the image to judge it (%s)", async (_decoder, without) => {
    putManifest(right);
    sign("own");
    await expectAccepted(withKey(), false, without);
  });

  // The signer vouches for the raw digest without a block map: only the readback can find that he was wrong.
  test("and it vouches for what the image is not: noticed during the write, and nothing boots", async () => {
    for (const raw of [
      { ...right.raw, sha256: "0".repeat(64) },
      { ...right.raw, sizeBytes: right.raw.sizeBytes + 512 },
    ]) {
      putManifest({ ...right, raw });
      sign("own");
      await using fresh = await openFresh();
      expect((await runAfresh(fresh, { ...withKey(), ...fresh.byDevice })).exitCode).toBe(4);
      expect(readReport(fresh.workDir)).toMatchObject({
        target: "partial",
        code: "image",
        reason: expect.stringMatching(/its manifest vouches for|fewer bytes than it should/),
      });
      const head = readFileSync(fresh.loop).subarray(0, 1 << 20);
      expect(head.equals(Buffer.alloc(1 << 20))).toBe(true);
    }
  });

  test.each<[string, () => void, Refusal]>([
    ["no manifest", () => rmSync(manifestPath(), { force: true }), { code: "signature", says: /has no manifest/ }],
    ["no signature", () => putManifest(right), { code: "signature", says: /has no signature/ }],
    [
      "a signature by another key",
      () => {
        putManifest(right);
        sign("other");
      },
      { code: "signature", says: /key/ },
    ],
    [
      "a manifest that was changed after it was signed",
      () => {
        putManifest(right);
        sign("own");
        writeFileSync(manifestPath(), JSON.stringify({ ...right, version: 8 }));
      },
      { code: "signature", says: /signature/ },
    ],
    [
      "a signature whose trusted comment was changed",
      () => {
        putManifest(right);
        sign("own");
        const path = `${manifestPath()}.minisig`;
        writeFileSync(path, readFileSync(path, "utf8").replace(/^trusted comment: .*$/m, "trusted comment: mine"));
      },
      { code: "signature", says: /comment|signature/ },
    ],
    [
      "something that is no signature",
      () => {
        putManifest(right);
        writeFileSync(`${manifestPath()}.minisig`, "a signature\n");
      },
      { code: "signature", says: /signature/ },
    ],
  ])("%s is refused", async (_what, prepare, refusal) => {
    prepare();
    await expectRefusedUntouched(withKey(), refusal);
  });

  test("and it is not there: refused", async () => {
    putManifest(right);
    const set = { ...source(), "image.publicKey": at("none.pub") };
    await expectRefusedUntouched(set, {
      code: "signature",
      says: /none\.pub that image\.publicKey names is not there/,
    });
  });

  test("plan says who vouches", async () => {
    putManifest(right);
    const vouchedForBy = async (set: readonly string[]) =>
      JSON.parse((await runCli(["plan", "--json", ...kiosk.arguments, ...set])).stdout).image.vouchedForBy;
    const image = ["--set", `image.source=${at("new.img.bz2")}`];
    expect(await vouchedForBy(image)).toBe("manifest, and decoding it once");
    sign("own");
    expect(await vouchedForBy([...image, "--set", `image.publicKey=${at("own.pub")}`])).toBe("signed manifest");
    rmSync(manifestPath());
    expect(await vouchedForBy(image)).toBe("decoding it once");
  });
});
