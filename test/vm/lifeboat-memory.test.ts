/** From a lifeboat a machine takes an image whose compressed size is more than all of its memory: it is streamed. */
import { expect } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { assembleDisk } from "../../scripts/kiosk/disk-image.ts";
import { smallInitramfs } from "../../scripts/power/small-os/initramfs.ts";
import { smallKernel } from "../../scripts/power/small-os/kernel.ts";
import { makeArmImage, openArmable } from "../support/armable-disk.ts";
import { runCli } from "../support/cli.ts";
import { runTestCommand, temporaryDirectory } from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import { partition } from "../support/micro-kiosk.ts";
import { startVm } from "../support/qemu.ts";

const memoryMiB = 512;
const randomMiB = 520;
const bootTimeoutMs = 1_200_000;
const quick = "console=ttyS0 mitigations=off nokaslr no_timer_check random.trust_cpu=on BUN_JSC_useDFGJIT=0";

machineTest("512 MB of memory, and a larger image", async () => {
  await using folder = await temporaryDirectory();
  const at = (name: string): string => join(folder.dir, name);
  await using small = await makeArmImage();
  mkdirSync(at("packed"));
  await runTestCommand(["sh", "-c", `head -c ${randomMiB}M /dev/urandom >${at("random")}`]);
  await assembleDisk(at("new.img"), {
    table: "mbr",
    sizeMiB: 13 + randomMiB,
    partitions: [
      partition(1, 1, 12, "83", join(small.folder, "root.ext4")),
      partition(2, 13, randomMiB, "83", at("random")),
    ],
  });
  const packed = at("packed/new.img.zst");
  expect(await runCli(["pack", at("new.img"), "--output", packed, "--level", "1"])).toMatchObject({ exitCode: 0 });
  expect(Bun.file(packed).size).toBeGreaterThan(memoryMiB * 1e6);

  const kernel = await smallKernel();
  const disk = at("disk.img");
  {
    await using armable = await openArmable(small, { place: "gap", gapsMiB: [13 + randomMiB + 650], rootMiB: 40 });
    const files = ["--kernel", kernel.image, "--initramfs", await smallInitramfs(kernel, "build/reimage")];
    const set = ["onSuccess=poweroff", "watchdog.enabled=false"].flatMap((text) => ["--set", text]);
    const armed = await armable.arm(...files, "--append", quick, ...set, "--set", `image.source=${packed}`);
    expect(armed).toMatchObject({ exitCode: 0 });
    await runTestCommand(["sync", "-f", armable.root]);
    await runTestCommand(["dd", `if=${armable.disk.path}`, `of=${disk}`, "bs=1M", "conv=sparse", "status=none"]);
  }
  await using vm = await startVm({
    ...{ firmware: "bios", memoryMiB, cpus: 2 },
    disks: [{ file: disk, format: "raw", bus: "virtio", serial: "" }],
  });
  await vm.waitForSerial(/reimage: success/, bootTimeoutMs);
  await vm.waitForExit(bootTimeoutMs);
  const image = ["cmp", "-n", String(randomMiB << 20), "-i", `0:${13 << 20}`, at("random"), disk];
  await runTestCommand(image);
  const identity = await runTestCommand(["debugfs", "-R", "cat /var/lib/kiosk/identity", `${disk}?offset=${1 << 20}`]);
  expect(identity).toBe("kiosk-0042\n");
});
