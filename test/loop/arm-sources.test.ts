/** Where the image comes from, what the old partitions are called, and which firmware boots: all of it ends in the lifeboat. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openBlockDevice } from "../../src/disk/block-device.ts";
import { switchPlanOf } from "../../src/lifeboat/header.ts";
import { mapBulk } from "../../src/lifeboat/layout.ts";
import { digestRegions } from "../../src/lifeboat/region-io.ts";
import { armInProcess } from "../support/arm-in-process.ts";
import {
  type ArmableDisk,
  type ArmImage,
  armedRegions,
  differences,
  makeArmImage,
  openArmable,
} from "../support/armable-disk.ts";
import { runCli } from "../support/cli.ts";
import { HttpServer } from "../support/http-server.ts";
import { runTestCommand } from "../support/loop-device.ts";
import { noise } from "../support/make-disk.ts";
import { refusalOf } from "../support/refusal-of.ts";

const timeoutMs = 180_000;
let image: ArmImage;
const at = (name: string): string => join(image.folder, name);
beforeAll(async () => {
  image = await makeArmImage();
  execFileSync("minisign", ["-G", "-W", "-p", at("own.pub"), "-s", at("own.key")], { stdio: "ignore" });
  const options = ["--secret-key", at("own.key"), "--image-version", "7", "--level", "3"];
  expect(await runCli(["pack", image.raw, "--output", at("signed.zst"), ...options])).toMatchObject({ exitCode: 0 });
}, timeoutMs);
afterAll(() => image[Symbol.asyncDispose]());

const sha256Of = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

/** The digest of the image in the lifeboat, as the disk has it. */
async function parkedSha256(armable: ArmableDisk): Promise<string> {
  const { bulk, layout, image: parked } = await armable.header();
  await using device = await openBlockDevice(armable.disk.path, { write: false, exclusive: false });
  return await digestRegions(device, mapBulk(bulk, layout.image), parked.sizeBytes);
}

/** A file of the boot volume, by mtools. */
async function volumeFile(armable: ArmableDisk, name: string): Promise<Buffer> {
  const { volume } = await armable.header();
  const copy = join(armable.folder, "from-volume");
  await runTestCommand(["mcopy", "-n", "-o", "-i", `${armable.disk.path}@@${volume.offsetBytes}`, `::${name}`, copy]);
  return readFileSync(copy);
}

/** What the initramfs of the lifeboat finds beside what it was built with. */
async function carriedFiles(armable: ArmableDisk): Promise<string[]> {
  const stdin = await volumeFile(armable, "/config.img");
  return (await runTestCommand(["cpio", "-t", "--quiet"], { stdin })).trim().split("\n");
}

test.each(["LABEL", "UUID", "PARTUUID", "PARTLABEL", "path"] as const)(
  "old.root by %s is found again in the lifeboat",
  async (key) => {
    await using armable = await openArmable(image, { place: "gap", table: "gpt" });
    const device = armable.disk.partition(1);
    await runTestCommand([
      "sfdisk",
      "--no-tell-kernel",
      "--no-reread",
      "--part-label",
      armable.disk.path,
      "1",
      armable.label,
    ]);
    const probed = JSON.parse(await runTestCommand(["lsblk", "--json", "-b", "-o", "PATH", device]));
    expect(probed.blockdevices[0].path).toBe(device);
    const value = async (tag: string) =>
      (await runTestCommand(["blkid", "-p", "-s", tag, "-o", "value", device])).trim();
    const spec =
      key === "path"
        ? device
        : `${key}=${key === "PARTUUID" ? await value("PART_ENTRY_UUID") : key === "PARTLABEL" ? armable.label : await value(key)}`;
    const result = await armable.arm("--set", `old.root=${spec}`);
    expect(result).toMatchObject({ exitCode: 0, stderr: "" });
    // Names that the table or the kernel gives are gone there: those go by the number.
    const { oldNames } = await armable.header();
    expect(oldNames).toEqual(key === "LABEL" || key === "UUID" ? {} : { [spec]: 1 });
  },
  timeoutMs,
);

test(
  "an image on a web server is in the lifeboat, and the server is not needed any more",
  async () => {
    await using server = await HttpServer.start(image.folder);
    await using armable = await openArmable(image, { place: "gap" });
    expect(await armable.arm("--set", `image.source=${server.url("/new.img.zst")}`)).toMatchObject({ exitCode: 0 });
    await server.stop();
    expect(await parkedSha256(armable)).toBe(sha256Of(image.image));
    expect(await armable.statusData()).toMatchObject({ armed: true });
    expect(await armable.disarm()).toMatchObject({ exitCode: 0 });
  },
  timeoutMs,
);

test.each(["gap", "file"] as const)(
  "a signed image goes along with what vouches for it, into a %s",
  async (place) => {
    const beside = Object.fromEntries(
      ["", ".bmap", ".manifest.json", ".manifest.json.minisig"].map((s) => [`signed.zst${s}`, at(`signed.zst${s}`)]),
    );
    await using armable = await openArmable(image, { place, beside });
    const key = join(armable.folder, "image key.pub");
    copyFileSync(at("own.pub"), key);
    const options = [
      "--set",
      `image.source=LABEL=${armable.label}:/images/signed.zst`,
      "--set",
      `image.publicKey=${key}`,
    ];
    expect(await armable.arm(...options, "--set", "log=/var/log/re image")).toMatchObject({ exitCode: 0 });
    expect(await parkedSha256(armable)).toBe(sha256Of(at("signed.zst")));
    const files = await carriedFiles(armable);
    for (const suffix of [".bmap", ".manifest.json", ".manifest.json.minisig"]) {
      expect(files).toContain(`etc/reimage/lifeboat/image${suffix}`);
    }
    expect(files).toContain("etc/reimage/carried/image.publicKey");
    expect(files).toContain("etc/reimage/carried/retention.list");
    expect(files).toContain("etc/reimage/reimage.yaml");
    const configuration = (await volumeFile(armable, "/syslinux.cfg")).toString();
    expect(configuration).toContain(` reimage.image.publicKey=/etc/reimage/carried/image.publicKey`);
    expect(configuration).toContain(` reimage.log="/var/log/re image"`);
    // Somebody else's key: refused before anything.
    expect(await armable.disarm()).toMatchObject({ exitCode: 0 });
    execFileSync("minisign", ["-G", "-W", "-f", "-p", key, "-s", join(armable.folder, "other.key")], {
      stdio: "ignore",
    });
    const refused = await armable.arm(...options);
    expect(refused.exitCode).toBe(3);
    expect(refused.stderr).toMatch(/key/);
  },
  timeoutMs,
);

test.each(["gap", "swap", "file"] as const)(
  "an image that somebody changes after it was judged: nothing is armed, and the %s is given back",
  async (place) => {
    await using armable = await openArmable(image, { place });
    const file = join(armable.root, "images/os.img.zst");
    const before = await armable.readAll();
    const between = async (): Promise<void> => {
      await runTestCommand(["dd", `of=${file}`, "bs=1", "seek=500000", "conv=notrunc", "status=none"], {
        stdin: noise("changed", 64),
      });
    };
    const refused = await refusalOf(armInProcess(armable, { between, only: place }));
    expect(refused).toMatchObject({ code: "image", message: expect.stringContaining("not the one any more") });
    expect((await armable.readAll()).toString("hex", 0, 512)).toBe(before.toString("hex", 0, 512));
    expect(await armable.statusData()).toEqual({ armed: false, nextStart: "the system that is installed" });
    expect(existsSync(join(armable.root, ".reimage-lifeboat"))).toBe(false);
    await runTestCommand(["swaplabel", armable.swap]);
  },
  timeoutMs,
);

test.each(["gap", "swap", "file"] as const)(
  "UEFI with a GPT, %s: the primary header alone is the switch",
  async (place) => {
    await using armable = await openArmable(image, { place, table: "gpt" });
    const before = await armable.readAll();
    const boot = {
      firmware: "uefi",
      espUuid: null,
      loaderPaths: ["\\EFI\\debian\\grubx64.efi"],
      loaderPath: null,
    } as const;
    await armInProcess(armable, { boot, only: place });
    const header = await armable.header();
    expect(header.switching).toMatchObject({ form: "gpt", sectorOffsetBytes: 512 });
    const armed = await armable.readAll();
    const { undo } = header;
    const own = undo.kind === "swap" ? [{ ...undo.partition, sizeBytes: 4096 }] : [];
    const [root] = armable.disk.table.partitions;
    if (undo.kind === "file" && root) own.push({ offsetBytes: root.startBytes, sizeBytes: root.sizeBytes });
    expect(differences(before, armed, [...armedRegions(header), ...own])).toEqual([]);
    const plan = switchPlanOf(header);
    expect(armed.subarray(512, 1024).equals(plan.lifeboatSector)).toBe(true);
    // Others read that table too: one partition, the boot volume, and nothing is wrong with it.
    const { partitiontable } = JSON.parse(await runTestCommand(["sfdisk", "--json", armable.disk.path]));
    expect(partitiontable.partitions).toHaveLength(1);
    expect(partitiontable.partitions[0]).toMatchObject({
      start: header.volume.offsetBytes / 512,
      size: header.volume.sizeBytes / 512,
      type: "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    });
    for (const path of ["/EFI/BOOT/BOOTX64.EFI", "/EFI/debian/grubx64.efi", "/loader/entries/reimage.conf"]) {
      expect((await volumeFile(armable, path)).length).toBeGreaterThan(0);
    }
    expect(await armable.statusData()).toMatchObject({ armed: true });
    expect(await armable.disarm()).toMatchObject({ exitCode: 0 });
    const left = [header.boot, ...header.bulk, ...(undo.kind === "file" ? own : [])];
    expect(differences(before, await armable.readAll(), left)).toEqual([]);
  },
  timeoutMs,
);
