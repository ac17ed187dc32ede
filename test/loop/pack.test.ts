/** `reimage pack`: an image of any format in, one that the usual programs decode out, and a manifest that is true. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Manifest, parseManifest } from "../../src/image/manifest/manifest.ts";
import { runCli } from "../support/cli.ts";
import { runTestCommand, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { makePackImage, packImageSizeBytes, packInputs, seePartitions } from "../support/pack-image.ts";
import { sha256Of } from "../support/small-kiosk.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const stack = new AsyncDisposableStack();
let base: TemporaryDirectory;
let rawSha256: string;
const at = (name: string) => join(base.dir, name);
const shell = (command: string) => runTestCommand(["bash", "-c", `set -o pipefail; ${command}`]);
const decodedSha256 = async (command: string) => (await shell(`${command} | sha256sum`)).slice(0, 64);
const manifestOf = (packed: string): Manifest =>
  parseManifest(readFileSync(at(`${packed}.manifest.json`), "utf8"), packed);

beforeAll(async () => {
  base = stack.use(await temporaryDirectory());
  await makePackImage(at("os.img"), "gpt");
  rawSha256 = await sha256Of(at("os.img"));
});
afterAll(() => stack.disposeAsync());

describe("an image of any format becomes one that decodes to the same", () => {
  test.each(Object.keys(packInputs))("%s", async (format) => {
    await shell(packInputs[format]?.(at("os.img"), at("input")) ?? "false");
    const result = await runCli(["pack", at("input"), "--output", at("out.zst"), "--level", "1", "--force"]);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    await shell(`zstd -q -t ${at("out.zst")}`);
    expect(await decodedSha256(`zstd -dc ${at("out.zst")}`)).toBe(rawSha256);
    expect(manifestOf("out.zst")).toMatchObject({
      raw: { sizeBytes: packImageSizeBytes, sha256: rawSha256 },
      compressed: { sizeBytes: statSync(at("out.zst")).size, sha256: await sha256Of(at("out.zst")) },
    });
  });

  test("as bz2, for bzip2, lbzip2 and pbzip2", async () => {
    const result = await runCli(["pack", at("os.img"), "--compress", "bz2", "--level", "1", "--force"]);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    for (const program of ["bzip2", "lbzip2", "pbzip2"]) {
      expect(await decodedSha256(`${program} -dc ${at("os.img.bz2")}`)).toBe(rawSha256);
    }
    expect(manifestOf("os.img.bz2").compressed.sha256).toBe(await sha256Of(at("os.img.bz2")));
  });

  test("as bz2 without lbzip2", async () => {
    const args = ["pack", at("os.img"), "--output", at("slow.bz2"), "--compress", "bz2", "--level", "1"];
    expect(await runCli(args, { without: ["lbzip2"] })).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await decodedSha256(`bzip2 -dc ${at("slow.bz2")}`)).toBe(rawSha256);
  });

  test("keep writes beside the image, and leaves it as it is", async () => {
    await shell(`xz -0 -c ${at("os.img")} > ${at("kept.img.xz")}`);
    const before = await sha256Of(at("kept.img.xz"));
    const result = await runCli(["pack", at("kept.img.xz"), "--compress", "keep"]);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await sha256Of(at("kept.img.xz"))).toBe(before);
    const manifest = manifestOf("kept.img.xz");
    expect(manifest).toMatchObject({
      raw: { sha256: rawSha256 },
      compressed: { sizeBytes: statSync(at("kept.img.xz")).size, sha256: before },
      imageId: `kept-${rawSha256.slice(0, 12)}`,
    });
    expect(manifest.segments).toBeUndefined();
  });

  test("keep takes a raw image too", async () => {
    await shell(`cp ${at("os.img")} ${at("kept.img")}`);
    expect(await runCli(["pack", at("kept.img"), "--compress", "keep"])).toMatchObject({ exitCode: 0, stderr: "" });
    expect(manifestOf("kept.img").compressed).toEqual(manifestOf("kept.img").raw);
  });
});

describe("the manifest", () => {
  test("says of a GPT what sfdisk and blkid say", async () => {
    await runCli(["pack", at("os.img"), "--level", "1", "--output", at("gpt.img.zst")]);
    const manifest = manifestOf("gpt.img.zst");
    const partitions = await seePartitions(at("os.img"));
    expect(partitions.map(({ label }) => label)).toEqual(["packroot", "packdata", undefined]);
    expect(manifest.partitionTable).toEqual(partitions);
    expect(manifest).toMatchObject({
      imageId: `gpt-${rawSha256.slice(0, 12)}`,
      version: 0,
      sectorSizeBytes: 512,
      leastDiskBytes: (79 << 20) + 33 * 512,
      blockMap: { sha256: await sha256Of(at("gpt.img.zst.bmap")), unmapped: "zero" },
    });
    expect([manifest.hardware, manifest.leastRamBytes]).toEqual([undefined, undefined]);
  });

  test("says of an MBR with logical partitions what sfdisk and blkid say", async () => {
    await makePackImage(at("mbr.img"), "mbr");
    expect(await runCli(["pack", at("mbr.img"), "--level", "1"])).toMatchObject({ exitCode: 0 });
    const partitions = await seePartitions(at("mbr.img"));
    expect(partitions.map(({ number, label }) => [number, label])).toEqual([
      [1, "packroot"],
      [2, undefined],
      [5, "packdata"],
      [6, undefined],
    ]);
    expect(manifestOf("mbr.img.zst")).toMatchObject({ partitionTable: partitions, leastDiskBytes: 79 << 20 });
  });

  test.each(["gpt", "mbr"] as const)("a %s of a 4Kn disk", async (table) => {
    await makePackImage(at("4k.img"), table, 4096);
    const option = table === "mbr" ? ["--sector-size", "4096"] : [];
    const result = await runCli(["pack", at("4k.img"), "--level", "1", "--force", ...option]);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    expect(manifestOf("4k.img.zst")).toMatchObject({
      sectorSizeBytes: 4096,
      partitionTable: await seePartitions(at("4k.img"), 4096),
      leastDiskBytes: (79 << 20) + (table === "gpt" ? 5 * 4096 : 0),
    });
  });

  test("says what the options say, and --json prints what was done", async () => {
    const options =
      "--image-id kiosk --image-version 7 --least-disk 1GB --least-ram 512MiB --vendor A --vendor B --product C --board D --unmapped any --compress keep --json";
    const result = await runCli(["pack", at("os.img"), ...options.split(" ")]);
    expect(result.exitCode).toBe(0);
    const manifest = manifestOf("os.img");
    expect(manifest).toMatchObject({
      imageId: "kiosk",
      version: 7,
      leastDiskBytes: 1e9,
      leastRamBytes: 512 << 20,
      hardware: { vendors: ["A", "B"], products: ["C"], boards: ["D"] },
      blockMap: { unmapped: "any" },
    });
    expect(JSON.parse(result.stdout)).toMatchObject({
      packed: at("os.img"),
      blockMap: at("os.img.bmap"),
      manifest: at("os.img.manifest.json"),
      signature: null,
      imageId: "kiosk",
      raw: manifest.raw,
      compressed: manifest.compressed,
      partitions: manifest.partitionTable,
    });
    expect(result.stderr).toMatch(/\[pack\] mapping the image: 100%/);
  });
});

test("needs no root, and no right to write beside the image", async () => {
  chmodSync(base.dir, 0o755);
  await shell(`install -d -o 65534 -g 65534 ${at("theirs")}`);
  const main = join(import.meta.dir, "..", "..", "src", "main.ts");
  const output = at("theirs/out.zst");
  const asNobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", process.execPath, main];
  await runTestCommand([...asNobody, "pack", at("os.img"), "--output", output, "--level", "1"]);
  expect(await decodedSha256(`zstd -dc ${output}`)).toBe(rawSha256);
  expect(readdirSync(at("theirs")).sort()).toEqual(["out.zst", "out.zst.bmap", "out.zst.manifest.json"]);
  rmSync(at("theirs"), { recursive: true });
});
