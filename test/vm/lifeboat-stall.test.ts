/** A disk that stalls while it is written: with a lifeboat the watchdog may reset the machine, and it carries on. */
import { afterAll, beforeAll, expect } from "bun:test";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Armed, armDisk, diskSerial, readRecord } from "../../scripts/power/armed.ts";
import { judgeMachine } from "../../scripts/power/boot-state.ts";
import { runTestCommand, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import { startVm, type Vm } from "../support/qemu.ts";

const armTimeoutMs = 900_000;
const runTimeoutMs = 600_000;
let made: TemporaryDirectory;
let armed: Armed;

beforeAll(async () => {
  made = await temporaryDirectory();
  armed = await armDisk("watched", "build/reimage", {
    append: "reimage.waitSeconds=10 reimage.watchdog.timeoutSeconds=5 reimage.watchdog.stallSeconds=15",
    // The small kernel has no driver of a watchdog.
    product: { kernel: "build/vmlinuz", initramfs: "build/initramfs.img" },
  });
}, armTimeoutMs);
afterAll(async () => await made[Symbol.asyncDispose]());

/** Starts a machine that stops when its watchdog bites, so that the disk can be mended meanwhile. */
async function startWatched(disk: string): Promise<Vm> {
  return await startVm({
    ...{ firmware: "bios", memoryMiB: 512, allowReboot: true, disks: [] },
    extraArguments: [
      ...["-device", "i6300esb", "-watchdog-action", "pause"],
      ...["-object", "throttle-group,id=limit"],
      ...["-blockdev", `driver=file,node-name=image,filename=${disk},discard=unmap`],
      ...["-blockdev", "driver=throttle,node-name=disk,throttle-group=limit,file=image"],
      ...["-device", `virtio-blk-pci,drive=disk,serial=${diskSerial},bootindex=0`],
    ],
  });
}

/** One byte a second, or as many as there are. */
async function limitDisk(vm: Vm, bytesPerSecond: 1 | 0): Promise<void> {
  await vm.qmp("qom-set", { path: "/objects/limit", property: "limits", value: { "bps-total": bytesPerSecond } });
}

async function untilBitten(vm: Vm): Promise<void> {
  const status = async () => ((await vm.qmp("query-status")) as { status: string }).status;
  for (const end = performance.now() + runTimeoutMs; (await status()) !== "watchdog"; await sleep(200))
    if (performance.now() > end) throw new Error(`the watchdog has not bitten; ${vm.serialText().slice(-1000)}`);
}

machineTest("a disk that stalls while it is written: reset by the watchdog, the lifeboat carries on", async () => {
  const disk = join(made.dir, "disk.img");
  await runTestCommand(["cp", "--sparse=always", armed.disk, disk]);
  await using vm = await startWatched(disk);
  await vm.waitForSerial(/\[write\] writing the image/, runTimeoutMs);
  await limitDisk(vm, 1);
  await untilBitten(vm);
  expect(readRecord(disk, armed.header)).toMatchObject({ state: "writing" });
  expect(vm.serialText()).not.toContain("the image: 100%, 17.");
  await limitDisk(vm, 0);
  await vm.qmp("system_reset");
  await vm.qmp("cont");
  await vm.waitForSerial(/^reimage \d.*carries on/m, runTimeoutMs);
  await vm.waitForExit(runTimeoutMs);
  const verdict = await judgeMachine({ how: "off", serial: vm.serialText() }, disk, armed);
  expect(verdict).toMatchObject({ outcome: "new", reason: null, boots: ["lifeboat", "lifeboat", "new"] });
});
