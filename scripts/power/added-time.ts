/**
 * How much longer a reimage takes with a lifeboat than in memory: the kiosk of `make demo-power`, once each way, nobody
 * disturbing it. Prints a table.
 */
import { mkdirSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { echo } from "zx";
import { startVm } from "../../test/support/qemu.ts";
import { logIn, typeCommand } from "../demo/old-console.ts";
import { makeOldKiosk, mountPoint } from "../demo/old-kiosk.ts";
import { type Kiosk, makeKiosk } from "../kiosk/make-kiosk.ts";

const minutes = (count: number) => count * 60_000;
const ways = { "in memory": "--ram --accept-power-cut-risk", lifeboat: "" } as const;
const steps = ["arm", "restart", "save", "write", "restore"] as const;
type Seconds = Readonly<Record<(typeof steps)[number], number>>;

async function measure(kiosk: Kiosk, options: string): Promise<Seconds> {
  const folder = resolve("build/power/added-time");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const { file } = await makeOldKiosk(kiosk, folder);
  const disk = { file, format: "raw", bus: "sata", serial: "KIOSK-0042" } as const;
  // It restarts by itself: with a lifeboat through its firmware, in memory by kexec.
  await using vm = await startVm({ firmware: "bios", disks: [disk], allowReboot: true });
  await logIn(vm);
  await typeCommand(vm, `mount LABEL=update ${mountPoint}`);
  const at = [performance.now() / 1000];
  const mark = () => at.push(performance.now() / 1000);
  await typeCommand(vm, `${mountPoint}/reimage arm --config ${mountPoint}/reimage.yaml ${options}`);
  mark();
  vm.sendSerial("reboot\n");
  for (const said of [/\[save\] begins/, /\[write\] begins/, /\[restore\] begins/, /reimage: success/]) {
    await vm.waitForSerial(said, minutes(20));
    mark();
  }
  const [arm = 0, restart = 0, save = 0, write = 0, restore = 0] = at.slice(1).map((end, i) => end - (at[i] ?? 0));
  return { arm, restart, save, write, restore };
}

const kiosk = await makeKiosk("debian", "mbr");
echo(`| seconds, in emulation | ${steps.join(" | ")} | all |`);
echo(`|---|${"---|".repeat(steps.length + 1)}`);
for (const [way, options] of Object.entries(ways)) {
  const seconds = await measure(kiosk, options);
  const all = steps.reduce((sum, step) => sum + seconds[step], 0);
  echo(`| ${way} | ${[...steps.map((step) => seconds[step]), all].map((value) => value.toFixed(1)).join(" | ")} |`);
}
