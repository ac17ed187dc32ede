/**
 * `make demo`: a virtual kiosk with one disk and no network is reimaged before your eyes. Its own GRUB boots reimage from
 * its own /boot; afterwards the new system boots to its login prompt, and what survived is shown. Needs no root.
 */
import { cpSync, mkdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { chalk, echo } from "zx";
import { startVm } from "../test/support/qemu.ts";
import { debugfs, readFileIn, readIdentity, showVerdict } from "./demo/kiosk-disk.ts";
import { showLine, showSerial, showTable, title } from "./demo/screen.ts";
import { makeArchive } from "./kiosk/append-config.ts";
import { shell } from "./kiosk/cache.ts";
import { kioskConfig } from "./kiosk/config.ts";
import { makeKiosk } from "./kiosk/make-kiosk.ts";

const folder = resolve("build/demo");
const file = join(folder, "kiosk.img");
const minutes = (count: number) => count * 60_000;

title("1. A kiosk: one disk, no spare partition, no network");
const kiosk = await makeKiosk("debian", "mbr");
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
await shell`cp --sparse=always ${kiosk.oldDisk} ${file}`;
const oldDisk = { file, layout: kiosk.layout.old };
const newDisk = { file, layout: kiosk.layout.new };
const before = await readIdentity(oldDisk);
showTable(Object.entries(before));
const image = await debugfs(oldDisk, "data", "ls -l /images");
echo(
  `  the new image lies on its data partition: ${/(\d+) +\S+ +\S+ +os\.img\.bz2/.exec(image)?.[1]} bytes of os.img.bz2`,
);

title("2. reimage is copied into its /boot: kernel, initramfs, configuration");
const config = Object.entries(kioskConfig("debian", "mbr")).map(([name, text]) => [`etc/reimage/${name}`, text]);
await makeArchive(Object.fromEntries(config), join(folder, "config.cpio"));
cpSync("build/vmlinuz", join(folder, "vmlinuz"));
cpSync("build/initramfs.img", join(folder, "initramfs.img"));
const files = ["vmlinuz", "initramfs.img", "config.cpio"];
await debugfs(
  oldDisk,
  "boot",
  "mkdir /reimage",
  ...files.map((name) => `write ${join(folder, name)} /reimage/${name}`),
);

title("3. It boots reimage from its own disk (an emulated CPU: everything takes about ten times as long)");
const start = performance.now();
const vmDisk = { file, format: "raw", bus: "sata", serial: "KIOSK-0042" } as const;
{
  await using vm = await startVm({ firmware: "bios", disks: [vmDisk], onSerial: showSerial(/reimage \d/) });
  await vm.waitForSerial(/Reimage this kiosk/, minutes(3));
  vm.sendSerial("r"); // the hotkey of its menu entry
  const [, ending] = await vm.waitForSerial(/reimage: (success|failed)[^\r\n]*[\r\n]/, minutes(15));
  if (ending !== "success") throw new Error("the kiosk was not reimaged; see above");
  await vm.waitForExit(minutes(2)); // it reboots, which ends this machine
}
const reimagedSeconds = (performance.now() - start) / 1000;

title("4. It boots the new system");
{
  await using vm = await startVm({ firmware: "bios", disks: [vmDisk], onSerial: showSerial(/^kiosk: |Debian|login:/) });
  await vm.waitForSerial(/login:/, minutes(5));
  showLine(`${before["host name"]} login: ${chalk.green("(here it is)")}`);
}

title("5. What changed, and what survived");
const report = JSON.parse(await readFileIn(newDisk, "kiosk", "/log/report.json"));
const { saveSeconds, writeSeconds, restoreSeconds } = report.timings;
echo(
  `  save ${saveSeconds} s, write ${writeSeconds} s, restore ${restoreSeconds} s; ` +
    `${Math.round(reimagedSeconds)} s from power on to the end, in emulation\n`,
);
showVerdict(before, await readIdentity(newDisk), file);
