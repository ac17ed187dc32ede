/**
 * `make demo`: a virtual kiosk with one disk and no network is reimaged before your eyes. Its own GRUB boots reimage from
 * its own /boot; afterwards the new system boots to its login prompt, and what survived is shown. Needs no root.
 */
import { cpSync, mkdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { chalk, echo } from "zx";
import { startVm } from "../test/support/qemu.ts";
import { makeArchive } from "./kiosk/append-config.ts";
import { shell } from "./kiosk/cache.ts";
import { kioskConfig } from "./kiosk/config.ts";
import type { DiskLayout } from "./kiosk/layouts.ts";
import { makeKiosk } from "./kiosk/make-kiosk.ts";

const MiB = 1 << 20;
const folder = resolve("build/demo");
const disk = join(folder, "kiosk.img");
const minutes = (count: number) => count * 60_000;

const title = (text: string) => echo(`\n${chalk.bold(text)}`);

/** debugfs on one partition of the disk: reads and writes an ext4 without mounting it. */
async function debugfs(layout: DiskLayout, holds: string, ...requests: readonly string[]): Promise<string> {
  const partition = layout.partitions.find((each) => each.holds === holds);
  const fileSystem = `${disk}?offset=${(partition?.startMiB ?? 0) * MiB}`;
  return (await shell`printf ${`${requests.join("\n")}\n`} | debugfs -w -f - ${fileSystem}`).stdout;
}

async function readFileIn(layout: DiskLayout, holds: string, path: string): Promise<string> {
  const text = await debugfs(layout, holds, `cat "${path}"`);
  return text.replace(/^debugfs: .*\n/gm, "").trim();
}

/** Who a system is: what the table at the end compares. */
async function readIdentity(layout: DiskLayout): Promise<Record<string, string>> {
  const read = (path: string) => readFileIn(layout, "root", path);
  const digest = (text: string) => new Bun.CryptoHasher("sha256").update(text).digest("hex").slice(0, 20);
  const release = await read("/usr/lib/os-release");
  return {
    "operating system": /^PRETTY_NAME="(.*)"/m.exec(release)?.[1] ?? "unknown",
    "host name": await read("/etc/hostname"),
    "machine id": await read("/etc/machine-id"),
    "ssh host key": digest(await read("/etc/ssh/ssh_host_ed25519_key")),
    "device key": digest(await read("/etc/kiosk/device.key")),
    transactions: await read("/var/lib/kiosk/transaction-counter"),
    paper: await readFileIn(layout, "kiosk", "/state/paper"),
  };
}

function showTable(rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  for (const row of rows) echo(`  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}`.trimEnd());
}

/** Shows what a machine says, line by line, from the first line that matches `from` on. */
function showSerial(from: RegExp): (text: string) => void {
  let pending = "";
  let isShown = false;
  return (text) => {
    pending += text;
    const lines = pending.split(/\r\n|\n|\r/);
    pending = lines.pop() ?? "";
    for (const line of lines) {
      let plain = line.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "").trim();
      if (!isShown && from.test(plain)) {
        isShown = true;
        plain = plain.slice(plain.search(from)); // the boot menu is left standing on the same line
      }
      if (isShown && plain !== "") echo(chalk.dim("  | ") + plain);
    }
  };
}

title("1. A kiosk: one disk, no spare partition, no network");
const kiosk = await makeKiosk("debian", "mbr");
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
await shell`cp --sparse=always ${kiosk.oldDisk} ${disk}`;
const { old: oldLayout, new: newLayout } = kiosk.layout;
const before = await readIdentity(oldLayout);
showTable(Object.entries(before));
const image = await debugfs(oldLayout, "data", "ls -l /images");
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
  oldLayout,
  "boot",
  "mkdir /reimage",
  ...files.map((name) => `write ${join(folder, name)} /reimage/${name}`),
);

title("3. It boots reimage from its own disk (an emulated CPU: everything takes about ten times as long)");
const start = performance.now();
const vmDisk = { file: disk, format: "raw", bus: "sata", serial: "KIOSK-0042" } as const;
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
  echo(`${chalk.dim("  | ")}${before["host name"]} login: ${chalk.green("(here it is)")}`);
}

title("5. What changed, and what survived");
const after = await readIdentity(newLayout);
const same = (name: string) => (before[name] === after[name] ? "kept" : "NEW");
showTable([
  ["", "before", "after", ""],
  ...Object.keys(before).map((name) => [name, before[name] ?? "", after[name] ?? "", same(name)]),
]);
const report = JSON.parse(await readFileIn(newLayout, "kiosk", "/log/report.json"));
const { saveSeconds, writeSeconds, restoreSeconds } = report.timings;
echo(
  `\n  save ${saveSeconds} s, write ${writeSeconds} s, restore ${restoreSeconds} s; ` +
    `${Math.round(reimagedSeconds)} s from power on to the end, in emulation`,
);
const kept = Object.keys(before).filter((name) => name !== "operating system");
if (kept.some((name) => before[name] !== after[name]) || before["operating system"] === after["operating system"]) {
  echo(chalk.red("\nThis is not what should have happened."));
  process.exitCode = 1;
} else {
  echo(chalk.green(`\nThe same kiosk, with a new operating system. Its disk is ${disk}.`));
}
