/**
 * `make demo-power`: a virtual kiosk is armed from its own running Debian, restarted, and loses its power three times, while
 * it saves, while it writes, and while it restores. Each time it is switched on again, and it ends in the new system with
 * its identity. SEED=… repeats the moments of another time. Needs no root.
 */
import { mkdirSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { chalk, echo } from "zx";
import { startVm, type Vm } from "../test/support/qemu.ts";
import { createRandom } from "../test/support/random.ts";
import { describeBootState, readBootState } from "./demo/boot-state.ts";
import { readIdentity, showVerdict } from "./demo/kiosk-disk.ts";
import { logIn, typeCommand } from "./demo/old-console.ts";
import { makeOldKiosk, mountPoint } from "./demo/old-kiosk.ts";
import { chooseMoment, pullPlug, type Stage } from "./demo/plug.ts";
import { showLine, showSerial, showTable, title } from "./demo/screen.ts";
import { makeKiosk } from "./kiosk/make-kiosk.ts";

const folder = resolve("build/demo-power");
const minutes = (count: number) => count * 60_000;
const seed = Number(process.env.SEED || Math.floor(Math.random() * 1e6)); // make hands over an empty one
const random = createRandom(seed);
const start = performance.now();

title("1. A kiosk: one disk, no spare partition, no network");
const kiosk = await makeKiosk("debian", "mbr");
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const oldDisk = await makeOldKiosk(kiosk, folder);
const newDisk = { file: oldDisk.file, layout: kiosk.layout.new };
const before = await readIdentity(oldDisk);
showTable(Object.entries(before));
echo("  a technician has copied reimage, its kernel, its initramfs and the new image onto its disk");

const vmDisk = { file: oldDisk.file, format: "raw", bus: "sata", serial: "KIOSK-0042" } as const;
const switchOn = (onSerial: (text: string) => void) => startVm({ firmware: "bios", disks: [vmDisk], onSerial });
const showDisk = () => echo(`  ${chalk.cyan("disk:")} ${describeBootState(readBootState(oldDisk.file))}`);

title("2. It runs its old Debian, and is armed (an emulated CPU: everything takes about ten times as long)");
showDisk();
{
  const hide = /ended-\d|login:|^\w+ \[[#.]+\]/; // what is typed beside, and the bars, which want a cursor
  await using vm = await switchOn(showSerial(/ready for commands/, (line) => hide.test(line) || showLine(line)));
  await logIn(vm);
  await typeShown(vm, `mount LABEL=update ${mountPoint} && cd ${mountPoint}`);
  await typeShown(vm, "./reimage arm --config reimage.yaml");
  await typeShown(vm, "./reimage status");
  await typeShown(vm, "ls -lh /.reimage-lifeboat");
  echo(`${chalk.dim("  #")} reboot`);
  vm.sendSerial("reboot\n");
  await vm.waitForExit(minutes(5));
}
showDisk();

title(`3. The plug is pulled, three times (SEED=${seed} repeats it)`);
for (const stage of ["save", "write", "restore"] as const) await losePower(stage);

title("4. It is switched on once more, and nobody disturbs it");
{
  await using vm = await switchOn(showRun());
  const [, ending] = await vm.waitForSerial(/reimage: (success|failed)[^\r\n]*[\r\n]/, minutes(20));
  if (ending !== "success") throw new Error("the kiosk was not reimaged; see above");
  await vm.waitForExit(minutes(3)); // it reboots, which ends this machine
}
showDisk();

title("5. It boots the new system");
{
  await using vm = await switchOn(showSerial(/^kiosk: |Debian|login:/));
  await vm.waitForSerial(/login:/, minutes(5));
  showLine(`${before["host name"]} login: ${chalk.green("(here it is)")}`);
}

title("6. What changed, and what survived three power cuts");
showVerdict(before, await readIdentity(newDisk), oldDisk.file);
echo(`  ${Math.round((performance.now() - start) / 1000)} s altogether, in emulation`);

async function losePower(stage: Stage): Promise<void> {
  const moment = chooseMoment(stage, random);
  let last = "";
  const show = showRun((line) => {
    last = line;
  });
  echo(`  ${chalk.green("switched on")}`);
  await using vm = await switchOn(show);
  const seconds = await pullPlug(vm, moment, minutes(20));
  echo(chalk.red(`  PLUG PULLED, ${seconds.toFixed(1)} s into ${stage}`) + chalk.dim(`, after: ${last}`));
  showDisk();
}

/** Shows what a run says but for its progress, which is for who has nothing else to look at. */
function showRun(onLine: (line: string) => void = () => {}): (text: string) => void {
  return showSerial(/reimage \d/, (line) => {
    onLine(line);
    if (!/\]: .*\d+%|: \d+%, /.test(line)) showLine(line);
  });
}

async function typeShown(vm: Vm, command: string): Promise<void> {
  echo(`${chalk.dim("  #")} ${command}`);
  await typeCommand(vm, command);
}
