/** Disks that a run must refuse to overwrite, with every one of them as it was. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { runCli } from "../support/cli.ts";
import { attachLoopDevice, mountDevice, runTestCommand, temporaryDirectory } from "../support/loop-device.ts";
import { put } from "../support/make-disk.ts";
import { type Kiosk, openKiosk } from "../support/open-kiosk.ts";
import { expectRefused, type Refusal, runAfresh, settings } from "../support/refusals.ts";
import { type Layout, makeOldDisk, tinyDiskSizes } from "../support/small-kiosk.ts";
import { makeTinyKiosks, type TinyKiosks, tinyLabels } from "../support/tiny-kiosks.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const stack = new AsyncDisposableStack();
let kiosks: TinyKiosks;
let kiosk: Kiosk;
let untouched: string;
const at = (name: string) => kiosks.at(name);
const labelsOf = (layout: Layout) => tinyLabels("t", layout);
const openFresh = (layout: Layout) => kiosks.openFresh(layout);

beforeAll(async () => {
  kiosks = stack.use(await makeTinyKiosks("t"));
  kiosk = stack.use(await openFresh("mbr"));
  untouched = await kiosk.sha256();
});

afterAll(() => stack.disposeAsync());

async function expectRefusedUntouched(set: Record<string, string>, refusal: Refusal, of = kiosk, before = untouched) {
  expectRefused(of, await runAfresh(of, set), refusal);
  expect(await of.sha256()).toBe(before);
}

describe("the target", () => {
  test.each<[string, Record<string, string>, Refusal]>([
    [
      "an old root that is not there",
      { "old.root": "LABEL=nowhere-at-all" },
      { code: "old-os", says: /nothing is LABEL=nowhere-at-all; there is:/ },
    ],
    [
      "an old file system that is not there",
      { "old.mounts": "{ /kiosk: LABEL=nowhere }" },
      { code: "old-os", says: /nothing is LABEL=nowhere/ },
    ],
    [
      "a mount point that the old root lacks",
      { "old.mounts": `{ /media/disk: LABEL=${labelsOf("mbr")}boot }` },
      { code: "old-os", says: /the old root has no directory \/media\/disk to mount at/ },
    ],
    [
      "no disk that matches",
      { "target.disk": "serial=none-such" },
      { code: "target", says: /no disk matches serial=none-such; the disks of this machine are:/ },
    ],
    ["not the disk of this boot", { "target.disk": "" }, { code: "target", says: /the old OS has no boot info/ }],
  ])("%s", async (_what, set, refusal) => {
    await expectRefusedUntouched(set, refusal);
  });

  test("two disks that match", async () => {
    await using twin = await openFresh("mbr");
    const twins = new RegExp(`${kiosk.loop}p2 and ${twin.loop}p2 are both|${twin.loop}p2 and ${kiosk.loop}p2 are both`);
    await expectRefusedUntouched({}, { code: "ambiguous", says: twins });
    const byDevice = kiosk.byDevice;
    const source = { "image.source": at("mbr.img.bz2") };
    const size = { "target.disk": `size=${tinyDiskSizes.diskMiB << 20}` };
    const both = new RegExp(`(${kiosk.loop}|${twin.loop}) .*both match size=`);
    await expectRefusedUntouched({ ...byDevice, ...source, ...size }, { code: "target", says: both });
    expect(await twin.sha256()).toBe(untouched);
  });

  test("a file system of it is mounted", async () => {
    await using mounted = await mountDevice(kiosk.partition(1), undefined, ["ro"]);
    const says = `${kiosk.partition(1)} is mounted on ${mounted.dir}`;
    await expectRefusedUntouched({}, { code: "target-busy", says });
  });

  test("its old root is mounted for writing", async () => {
    await using fresh = await openFresh("mbr");
    await using mounted = await mountDevice(fresh.partition(2));
    const of = fresh.byDevice;
    const before = await fresh.sha256();
    const says = `${fresh.partition(2)} is mounted writable on ${mounted.dir}`;
    await expectRefusedUntouched({ ...of, "image.source": at("mbr.img.bz2") }, { code: "old-os", says }, fresh, before);
  });

  test("its swap space is in use", async () => {
    await using fresh = await openFresh("gpt");
    await runTestCommand(["mkswap", "--quiet", fresh.partition(1)]);
    await runTestCommand(["swapon", fresh.partition(1)]);
    await using _off = {
      [Symbol.asyncDispose]: async () => void (await runTestCommand(["swapoff", fresh.partition(1)])),
    };
    const says = `${fresh.partition(1)} is swap space in use`;
    await expectRefusedUntouched({}, { code: "target-busy", says }, fresh, await fresh.sha256());
  });

  test("a device is made of it", async () => {
    const holder = await attachLoopDevice(kiosk.partition(1));
    await using _detach = {
      [Symbol.asyncDispose]: async () => void (await runTestCommand(["losetup", "--detach", holder])),
    };
    await expectRefusedUntouched({}, { code: "target-busy", says: `${holder} is made of it` });
  });

  test("its sectors are not those that the image was made for", async () => {
    await using directory = await temporaryDirectory();
    const oldDisk = join(directory.dir, "old.img");
    const labels = `t4${process.pid}`;
    const images = { "os.img.bz2": at("gpt.img.bz2") };
    await makeOldDisk(oldDisk, "gpt", images, { labels, sizes: tinyDiskSizes, sectorSizeBytes: 4096 });
    await using large = await openKiosk({ layout: "gpt", oldDisk, list: at("list"), labels, sectorSizeBytes: 4096 });
    const says = /made for sectors of 512 bytes, the target disk has sectors of 4096/;
    await expectRefusedUntouched({}, { code: "partition-table", says }, large, await large.sha256());
  });
});

describe("boot info", () => {
  const unknown = {
    image_id: "",
    primary_disk: "",
    os_partition: "",
    initrd: "",
    cmdline: "",
    kernel: "",
    bootloaderid: "",
  };
  const disk = {
    path: "/dev/sda",
    sizeBytes: 500107862016,
    sectorSizeBytes: 512,
    serial: null,
    wwn: null,
    model: null,
  };
  const cases: [string, string, Record<string, string>, RegExp][] = [
    [
      "of another disk",
      JSON.stringify({ ...unknown, image_id: "a", disk }),
      {},
      /is not the disk that the old OS was written to/,
    ],
    ["that names nothing", JSON.stringify(unknown), { "target.disk": "" }, /names neither its image nor its disk/],
    [
      "of another device",
      JSON.stringify({ ...unknown, primary_disk: "/dev/sdz" }),
      { "target.disk": "" },
      /was written to \/dev\/sdz/,
    ],
    ["that is no JSON", "{", {}, /boot-info\.json cannot be read: it is not JSON/],
  ];
  test.each(cases)("%s", async (_what, text, set, says) => {
    await using fresh = await openWithBootInfo(text);
    const own = fresh.byDevice;
    const before = await fresh.sha256();
    await expectRefusedUntouched(
      { ...own, "image.source": at("mbr.img.bz2"), ...set },
      { code: "target", says },
      fresh,
      before,
    );
  });

  test("that names its image is enough where nothing else names the disk", async () => {
    await using fresh = await openWithBootInfo(JSON.stringify({ ...unknown, image_id: "the old image" }));
    const own = fresh.byDevice;
    const set = settings({ ...own, "image.source": at("mbr.img.bz2"), "target.disk": "" });
    expect(await runCli(["plan", ...fresh.arguments, ...set])).toMatchObject({ exitCode: 0, stderr: "" });
  });

  async function openWithBootInfo(text: string): Promise<Kiosk> {
    const fresh = await openFresh("mbr");
    await using root = await mountDevice(fresh.partition(2));
    put(root.dir, "/etc/reimage/boot-info.json", text);
    return fresh;
  }
});
