/**
 * A lifeboat that somebody has touched, a machine that is started too often, a disk beside its own copy: a small disk is
 * armed on a loop device, changed, and booted by a BIOS; then every byte of it is looked at.
 */
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { appendConfig } from "../../scripts/kiosk/append-config.ts";
import { smallInitramfs } from "../../scripts/power/small-os/initramfs.ts";
import { smallKernel } from "../../scripts/power/small-os/kernel.ts";
import { encodeHeader, type LifeboatHeader, lifeboatRegions } from "../../src/lifeboat/header.ts";
import { bootLayout, mapBulk } from "../../src/lifeboat/layout.ts";
import { encodeRecord, firstRecord } from "../../src/lifeboat/record.ts";
import { type ArmableOptions, type ArmImage, differences, makeArmImage, openArmable } from "../support/armable-disk.ts";
import { runCli } from "../support/cli.ts";
import {
  attachLoopDevice,
  runTestCommand,
  type TemporaryDirectory,
  temporaryDirectory,
} from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import { startVm, type VmDisk } from "../support/qemu.ts";

const MIB = 1 << 20;
const bootTimeoutMs = 600_000;
const program = "build/reimage";
const quick = "console=ttyS0 mitigations=off nokaslr no_timer_check random.trust_cpu=on BUN_JSC_useDFGJIT=0";

interface Armed {
  /** The disk before and after it was armed. */
  readonly before: Buffer;
  readonly armed: Buffer;
  readonly header: LifeboatHeader;
  readonly stateDir: string;
}

let image: ArmImage;
let folder: TemporaryDirectory;
let kernel: string;
let initramfs: string;
let armed: Armed;
let turn: Promise<unknown> = Promise.resolve();
let made = 0;

beforeAll(async () => {
  image = await makeArmImage();
  folder = await temporaryDirectory();
  const small = await smallKernel();
  kernel = small.image;
  const bootstrap = Object.fromEntries(
    ["init", "give-back"].map((name) => [name, { executable: readFileSync(join("initramfs", name), "utf8") }]),
  );
  initramfs = join(folder.dir, "initramfs.img");
  await appendConfig(await smallInitramfs(small, program), {}, initramfs, bootstrap);
  armed = await arm("armed", { place: "gap", gapsMiB: [150], rootMiB: 40 });
}, bootTimeoutMs);
afterAll(async () => {
  await image[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

async function arm(name: string, options: ArmableOptions, ...further: string[]): Promise<Armed> {
  await using disk = await openArmable(image, options);
  const before = await disk.readAll();
  const kept = ["--kernel", kernel, "--initramfs", initramfs, "--append", quick, "--attempts", "2"];
  const set = ["onFailure=reboot", "waitSeconds=5", "watchdog.enabled=false"].flatMap((text) => ["--set", text]);
  expect(await disk.arm(...kept, ...set, ...further)).toMatchObject({ exitCode: 0 });
  const stateDir = join(folder.dir, name);
  mkdirSync(stateDir);
  writeFileSync(join(stateDir, "armed.json"), readFileSync(join(disk.stateDir, "armed.json")));
  const header = await disk.header();
  return { before, armed: await disk.readAllAtRestart(), header, stateDir };
}

/** One after the other: two disks with the same lifeboat are one too many for who looks at the disks of this computer. */
async function inTurn<T>(run: () => Promise<T>): Promise<T> {
  const mine = turn.then(run);
  turn = mine.catch(() => {});
  return await mine;
}

const write = async (content: Buffer): Promise<string> => {
  made += 1;
  const file = join(folder.dir, `disk-${made}.img`);
  writeFileSync(file, content);
  await runTestCommand(["fallocate", "--dig-holes", file]);
  return file;
};

/** Boots disks until a line comes; `ends`: until the machine has restarted. @returns what was said */
async function boot(disks: readonly Pick<VmDisk, "file" | "serial">[], until: RegExp, ends: boolean): Promise<string> {
  const asked = disks.map((disk): VmDisk => ({ serial: "", ...disk, format: "raw", bus: "virtio" }));
  await using vm = await startVm({ firmware: "bios", memoryMiB: 512, disks: asked });
  await vm.waitForSerial(until, bootTimeoutMs);
  if (ends) await vm.waitForExit(bootTimeoutMs);
  return vm.serialText();
}

/** What `reimage status` says of a disk, in the old system or another one. */
async function statusOf(file: string, stateDir: string): Promise<Record<string, unknown>> {
  return await inTurn(async () => {
    const loop = await attachLoopDevice(file);
    try {
      const { stdout, stderr } = await runCli(["status", "--json", "--state", stateDir]);
      expect(stderr).toBe("");
      return JSON.parse(stdout);
    } finally {
      await runTestCommand(["losetup", "--detach", loop]);
    }
  });
}

async function expectNewSystem(file: string): Promise<void> {
  expect(firstSector(readFileSync(file))).toBe(firstSector(readFileSync(image.raw)));
  const identity = await runTestCommand(["debugfs", "-R", "cat /var/lib/kiosk/identity", `${file}?offset=${MIB}`]);
  expect(identity).toBe("kiosk-0042\n");
  await runTestCommand(["e2fsck", "-fn", `${file}?offset=${MIB}`]);
}

const firstSector = (disk: Buffer): string => disk.toString("hex", 0, 512);

/** Something happens to the armed disk before it is booted. */
type Change = (disk: Buffer) => Buffer | Promise<Buffer>;
function flip(disk: Buffer, at: number): Buffer {
  disk.writeUInt8(disk.readUInt8(at) ^ 1, at);
  return disk;
}
function putRecord(disk: Buffer, change: object): Buffer {
  const record = { ...firstRecord(armed.header.uuid), seq: 5, ...change };
  encodeRecord(record).copy(disk, armed.header.boot.offsetBytes + bootLayout.records[1]);
  return disk;
}

/** In place, by debugfs, as if it had been gone when the machine was restarted. */
async function withoutMachineId(disk: Buffer): Promise<Buffer> {
  const file = await write(disk);
  await runTestCommand(["debugfs", "-w", "-R", "rm /etc/machine-id", `${file}?offset=${MIB}`]);
  return readFileSync(file);
}

const backCases: readonly (readonly [name: string, change: Change, reason: RegExp])[] = [
  [
    "a byte of the image",
    (disk) => flip(disk, (mapBulk(armed.header.bulk, armed.header.layout.image)[0]?.offsetBytes ?? 0) + 300_000),
    /image/,
  ],
  [
    "a byte of the boot volume that nothing boots by",
    (disk) => flip(disk, armed.header.volume.offsetBytes + armed.header.volume.sizeBytes - 10),
    /boot volume .* was changed after it was armed/,
  ],
  ["a required file that is gone by now", withoutMachineId, /machine-id/],
  ["too many starts", (disk) => putRecord(disk, { attempts: 2 }), /started 2 times in state armed/],
];

for (const [name, change, reason] of backCases) {
  machineTest(`${name}: the old boot sector is back, and the reason is told`, async () => {
    const changed = await change(Buffer.from(armed.armed));
    const file = await write(changed);
    await boot([{ file }], /the old OS boots again/, true);
    const after = readFileSync(file);
    expect(firstSector(after)).toBe(firstSector(armed.before));
    const allowed = [...lifeboatRegions(armed.header), { offsetBytes: 0, sizeBytes: 512 }];
    expect(differences(changed, after, allowed)).toEqual([]);
    expect(await statusOf(file, armed.stateDir)).toMatchObject({
      ...{ armed: false, state: "abandoned", nextStart: "the old system" },
      lastFailure: expect.stringMatching(reason),
    });
  });
}

machineTest("a byte of the header: the bootstrap puts the old boot sector back", async () => {
  const changed = Buffer.from(armed.armed);
  const { offsetBytes } = armed.header.boot;
  const at = changed.indexOf('"mostAttempts"', offsetBytes) + 1;
  flip(changed, at);
  const file = await write(changed);
  await boot([{ file }], /the old boot sector is back/, true);
  const after = readFileSync(file);
  expect(firstSector(after)).toBe(firstSector(armed.before));
  expect(differences(changed, after, [{ offsetBytes: 0, sizeBytes: 512 }])).toEqual([]);
  expect(await statusOf(file, armed.stateDir)).toMatchObject({
    ...{ armed: false, nextStart: "the old system", changed: "the disk holds no whole lifeboat" },
  });
});

machineTest(
  "too many starts once the disk is being written: the rescue shell says so, and the old sector stays away",
  async () => {
    const changed = Buffer.from(armed.armed);
    putRecord(changed, { state: "writing", attempts: 2, reason: "the disk takes no writes" });
    const file = await write(changed);
    const said = await boot([{ file }], /shell on the main console/, false);
    expect(said).toMatch(/started 2 times in state writing; the last failure was: the disk takes no writes/);
    const after = readFileSync(file);
    expect(differences(changed, after, lifeboatRegions(armed.header))).toEqual([]);
  },
);

machineTest(
  "the power goes while files are restored, and a superblock is torn: the image is written again",
  async () => {
    const file = await write(armed.armed);
    await boot([{ file }], /\[restore\] begins/, false);
    const torn = readFileSync(file);
    expect(firstSector(torn)).toBe(firstSector(armed.armed));
    flip(torn, MIB + 1024 + 0x78); // the label: the checksum of the superblock is wrong
    writeFileSync(file, torn);
    const said = await boot([{ file }], /reimage: success/, true);
    expect(said).toMatch(/writing the image: 100%/);
    await expectNewSystem(file);
  },
);

machineTest("a disk beside its own copy: without serial numbers nothing is written to either", async () => {
  const files = [await write(armed.armed), await write(armed.armed)];
  const said = await boot(
    files.map((file) => ({ file })),
    /shell on the main console/,
    false,
  );
  expect(said).toMatch(/several disks hold the same lifeboat, and nothing is written to any of them/);
  for (const file of files) expect(differences(armed.armed, readFileSync(file), [])).toEqual([]);
});

machineTest("a disk beside its own copy: the one that was armed becomes the new system, whichever boots", async () => {
  const named = Buffer.from(armed.armed);
  encodeHeader({ ...armed.header, disk: { ...armed.header.disk, serial: "OWN" } }).copy(
    named,
    armed.header.boot.offsetBytes,
  );
  const [copy, own] = [await write(named), await write(named)];
  const disks = [
    { file: copy, serial: "COPY" },
    { file: own, serial: "OWN" },
  ];
  await boot(disks, /reimage: success/, true);
  expect(differences(named, readFileSync(copy), [])).toEqual([]);
  await expectNewSystem(own);
});
