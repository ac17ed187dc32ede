/** A machine that boots by the entries of its firmware: it comes from its old OS's entry to the new OS's own. */
import { expect } from "bun:test";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { bootEntryName } from "../../src/firmware/boot-entries.ts";
import { parseDevicePath } from "../../src/firmware/device-path.ts";
import { parseLoadOption } from "../../src/firmware/load-option.ts";
import { bootEntryDescription } from "../../src/stages/boot-entry.ts";
import {
  makeEntryWriter,
  makeOldDisk,
  newEsp,
  oldEntry,
  oldEntryId,
  saidVariables,
} from "../support/boot-entry-machine.ts";
import { runTestCommand, temporaryDirectory } from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import { copyFreshVariables, startVm } from "../support/qemu.ts";

const limitMs = 600_000;

/** Runs the machine until it is off. A disk without a place in QEMU's boot order, by which OVMF would change its own. */
async function run(disk: string, variables: string, isToArm: boolean): Promise<string> {
  await using vm = await startVm({
    ...{ firmware: "uefi", variables, disks: [], allowReboot: true },
    extraArguments: [
      ...["-vga", "none", ...(isToArm ? ["-smbios", "type=1,sku=arm"] : [])],
      ...["-blockdev", `driver=raw,node-name=disk,file.driver=file,file.filename=${disk}`],
      ...["-device", "virtio-blk-pci,drive=disk,serial=KIOSK0"],
    ],
  });
  await vm.waitForExit(limitMs);
  return vm.serialText();
}

machineTest("from the old OS's boot entry through the lifeboat to the new OS's own", async () => {
  await using temporary = await temporaryDirectory();
  const folder = temporary.dir;
  const old = await makeOldDisk(folder);
  const [disk, variables] = [join(folder, "disk.img"), join(folder, "variables.fd")];
  await runTestCommand(["cp", "--sparse=always", old, disk]);
  await copyFreshVariables(variables);
  {
    const started = { ...(await makeEntryWriter(folder)), append: "console=ttyS0 quiet" };
    await using vm = await startVm({ firmware: "uefi", variables, disks: [], ...started });
    await vm.waitForExit(limitMs);
    expect(vm.serialText()).toContain("ALL WRITTEN");
    expect(vm.serialText()).not.toContain("NOT WRITTEN");
  }
  const serial = await run(disk, variables, true);
  expect([...serial.matchAll(/small-os: (old|new) identity (\S+)/g)].map(([, name]) => name)).toEqual(["old", "new"]);
  expect(serial).toContain("reimage: success");

  const said = saidVariables(serial);
  const own = [...said].flatMap(([name, data]) => {
    const option = /^Boot[0-9A-F]{4}$/.test(name) ? parseLoadOption(data) : null;
    return option?.description === bootEntryDescription ? [{ name, path: parseDevicePath(option.devicePath) }] : [];
  });
  expect(own.map(({ path }) => path)).toEqual([{ partition: newEsp, file: "\\EFI\\BOOT\\BOOTX64.EFI" }]);
  const ownId = said.get("BootCurrent")?.readUInt16LE(); // what the new OS was booted by
  expect(own.map(({ name }) => name)).toEqual([bootEntryName(ownId ?? -1)]);
  const order = said.get("BootOrder") ?? Buffer.alloc(0);
  expect([order.readUInt16LE(0), order.readUInt16LE(2)]).toEqual([ownId ?? -1, oldEntryId]);
  expect(said.get(bootEntryName(oldEntryId))?.equals(oldEntry)).toBe(true);

  // On the old disk the first entry leads nowhere, as it does until the commit: firmware goes on to the old one.
  copyFileSync(old, disk);
  const again = await run(disk, variables, false);
  expect(again).toContain(`failed to load ${bootEntryName(ownId ?? -1)} "${bootEntryDescription}"`);
  expect(again).toContain("small-os: old identity");
});
