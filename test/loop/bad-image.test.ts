/** Files that are no image for this disk: refused, and the old disk stays as it was. What damage does is in image-faults. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeFileSystem, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { type Kiosk, openKiosk } from "../support/open-kiosk.ts";
import { eventsOf, expectRefused, type Refusal, runAfresh } from "../support/refusals.ts";
import { makeNewImage, makeOldDisk, retentionList, tinyDiskSizes, tinyImageSizes } from "../support/small-kiosk.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const labels = `b${process.pid}`;
const stack = new AsyncDisposableStack();
let base: TemporaryDirectory;
let kiosk: Kiosk;
let untouched: string;
const at = (name: string) => join(base.dir, name);
const onTarget = (name: string) => `LABEL=${labels}data:/images/${name}`;

beforeAll(async () => {
  base = stack.use(await temporaryDirectory());
  writeFileSync(at("list"), retentionList);
  await makeNewImage(at("new.img"), "mbr", { sizes: tinyImageSizes, programMiB: 2, data: "swap" });
  execFileSync("lbzip2", ["--keep", at("new.img")]);
  const images = { "os.img.bz2": at("new.img.bz2") };
  await makeOldDisk(at("old.img"), "mbr", images, { labels, sizes: tinyDiskSizes });
  kiosk = stack.use(await openKiosk({ layout: "mbr", oldDisk: at("old.img"), list: at("list"), labels }));
  untouched = await kiosk.sha256();
});

afterAll(() => stack.disposeAsync());

async function expectRefusedUntouched(set: Record<string, string>, refusal: Refusal) {
  expectRefused(kiosk, await runAfresh(kiosk, set), refusal);
  expect(await kiosk.sha256()).toBe(untouched);
}

test("an image that is not there, on the target and as a file", async () => {
  for (const source of [onTarget("none.bz2"), "/nowhere/os.img.bz2"]) {
    await expectRefusedUntouched({ "image.source": source }, { code: "image", says: source });
  }
});

test("an image on a file system that is not there", async () => {
  const source = `LABEL=${labels}none:/os.img.bz2`;
  await expectRefusedUntouched({ "image.source": source }, { code: "image", says: `nothing is LABEL=${labels}none` });
});

/** Files that are no image of this disk, made when they are needed. */
const wrongImages: Record<string, { make(path: string): void | Promise<void>; refusal: Refusal }> = {
  "a directory": {
    make: (path) => mkdirSync(path),
    refusal: { code: "image", says: /not a file|cannot be read/ },
  },
  "a text file": {
    make: (path) => writeFileSync(path, "This is not an image.\n".repeat(1000)),
    refusal: { code: "image", says: /neither bz2, gz, xz nor zst, nor a raw disk image/ },
  },
  "a packed text file": {
    make: (path) => writeFileSync(path, execFileSync("bzip2", { input: "This is not an image.\n".repeat(1000) })),
    refusal: { code: "partition-table", says: /no usable partition table/ },
  },
  "the image of a file system without a partition table": {
    async make(path) {
      writeFileSync(path, "");
      truncateSync(path, 8 << 20);
      await makeFileSystem(path, "ext4");
      execFileSync("lbzip2", [path]);
      execFileSync("mv", [`${path}.bz2`, path]);
    },
    refusal: { code: "partition-table", says: /no usable partition table: its first sector has no boot signature/ },
  },
  "an image of nothing but zeros": {
    make: (path) => writeFileSync(path, execFileSync("bzip2", { input: Buffer.alloc(4 << 20) })),
    refusal: { code: "partition-table", says: /no usable partition table/ },
  },
  "an image that is larger than the disk": {
    make(path) {
      copyFileSync(at("new.img"), path);
      truncateSync(path, (tinyDiskSizes.diskMiB << 20) + 512);
      execFileSync("lbzip2", [path]);
      execFileSync("mv", [`${path}.bz2`, path]);
    },
    refusal: { code: "too-small", says: /more than 100663296 bytes?, the target disk only 100663296/ },
  },
  "a raw image that is cut within its last partition": {
    make: (path) => writeFileSync(path, readFileSync(at("new.img")).subarray(0, 30 << 20)),
    refusal: { code: "image", says: /cut off/ },
  },
  "a raw image that is cut within its partition table": {
    make: (path) => writeFileSync(path, readFileSync(at("new.img")).subarray(0, 20 << 20)),
    refusal: { code: "partition-table", says: /ends at byte 20971520, before its table does/ },
  },
  "a packed image of a raw image that was cut": {
    make: (path) =>
      writeFileSync(
        path,
        execFileSync("lbzip2", { input: readFileSync(at("new.img")).subarray(0, 30 << 20), maxBuffer: 1 << 28 }),
      ),
    refusal: { code: "image", says: /cut off/ },
  },
  "an MBR image made for sectors of 4096 bytes": {
    make: (path) => makeNewImage(path, "mbr", { sizes: tinyImageSizes, programMiB: 1, sectorSizeBytes: 4096 }),
    refusal: { code: "image", says: /holds no known file system/ },
  },
  "a GPT image made for sectors of 4096 bytes": {
    make: (path) => makeNewImage(path, "gpt", { sizes: tinyImageSizes, programMiB: 1, sectorSizeBytes: 4096 }),
    refusal: { code: "partition-table", says: /made for sectors of 4096 bytes, the target disk has sectors of 512/ },
  },
};

test.each(Object.keys(wrongImages))(
  "%s",
  async (what) => {
    const wrong = wrongImages[what];
    if (wrong === undefined) throw new Error(what);
    const path = at("wrong");
    execFileSync("rm", ["-rf", path]);
    await wrong.make(path);
    await expectRefusedUntouched({ "image.source": path }, wrong.refusal);
  },
  30_000,
);

describe("a partition of the image", () => {
  test.each([
    [
      "new.root",
      "7",
      /new\.root: image .* has no partition 7; it has 1 \(ext4, boot\), 2 \(ext4, root\), 4 \(extended\)/,
    ],
    ["new.root", "4", /new\.root: image .* has no partition 4/], // an extended partition holds no file system
    ["new.root", "LABEL=nowhere", /has no partition LABEL=nowhere/],
    ["new.root", "5", /new\.root: partition 5 of image .* holds swap/],
    ["new.mounts", "{ /kiosk: 9 }", /new\.mounts\.\/kiosk: image .* has no partition 9/],
    ["new.mounts", "{ /data: 5 }", /new\.mounts\.\/data: partition 5 of image .* holds swap/],
  ])(
    "%s: %s",
    async (key, value, says) => {
      await expectRefusedUntouched({ [key]: value }, { code: "image", says });
    },
    30_000,
  );
});

test("the first partition of an image with logical partitions is known for what it holds", async () => {
  const result = await runAfresh(kiosk, { "new.mounts": "{ /boot: 1, /data: 5 }" });
  expectRefused(kiosk, result, { code: "image", says: /partition 5 of image .* holds swap/ }); // not partition 1
  expect(eventsOf(kiosk).length).toBeGreaterThan(0);
});
