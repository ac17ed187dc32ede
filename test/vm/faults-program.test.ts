/** A program that is killed, frozen, or never stays up: the machine carries on, or says what is the matter. */
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { makeKiosk } from "../../scripts/kiosk/make-kiosk.ts";
import { openRescueShell, openShellBeforeReimage, shellBeforeReimage } from "../support/guest-shell.ts";
import { bootTimeoutMs, openKioskVm, readFileInside } from "../support/kiosk-vm.ts";
import { runTestCommand, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import { type MicroKiosk, makeMicroKiosk } from "../support/micro-kiosk.ts";

const runTimeoutMs = 300_000;

let made: TemporaryDirectory;
let micro: MicroKiosk;
const at = (name: string): string => join(made.dir, name);

beforeAll(async () => {
  made = await temporaryDirectory();
  for (const table of ["mbr", "gpt"] as const) await makeKiosk("tiny", table); // by one, before all use it
  micro = await makeMicroKiosk(made.dir, "mbr");
}, bootTimeoutMs);
afterAll(async () => await made[Symbol.asyncDispose]());

machineTest(
  "killed at ten moments of one run, without a console, it carries on; the new system boots with its identity",
  async () => {
    const moments = [
      '"stage-started","stage":"save"',
      "copying the image to memory",
      "decoding the image once",
      "saving the retained files",
      '"stage-finished","stage":"save"',
      '"state":"partial"',
      "writing the image",
      "reading it back",
      '"stage-started","stage":"restore"',
      "files and directories are back",
    ];
    await using vm = await openKioskVm("tiny", "mbr", "virtio");
    await using machine = await vm.startReimage({
      consoles: "",
      beside: `while read -r moment; do
until grep -qF "$moment" /run/reimage/events.ndjson; do :; done 2>/dev/null
kill -9 $(pidof reimage) && echo killed >>/run/reimage/savedperms.kills
done <<'MOMENTS'
${moments.join("\n")}
MOMENTS`,
      memoryMiB: 512,
    });
    await machine.waitForExit(2 * runTimeoutMs);
    expect(machine.serialText()).not.toContain("reimage"); // no console= at all
    const root = { number: 1, startMiB: 1, sizeMiB: 32, holds: "root" } as const;
    const events = await readFileInside(vm.exportDisk(), root, "/kiosk/log/events.ndjson");
    expect(events.match(/"run-started"/g)?.length).toBeGreaterThanOrEqual(10);
    await using booted = await vm.startFromDisk({ memoryMiB: 512 });
    await booted.waitForSerial(/tiny kiosk 2026\.11/, bootTimeoutMs);
    await booted.waitForSerial(/tiny-0042 login:/, bootTimeoutMs);
  },
);

machineTest(
  "a frozen program is reset by the watchdog, a busy one is not; vfat takes the content of retained files, not their owner",
  async () => {
    mkdirSync(at("gpt"));
    const gpt = await makeMicroKiosk(at("gpt"), "gpt");
    await using vm = await openKioskVm("tiny", "gpt", "virtio", gpt.oldDisk);
    await using machine = await vm.startReimage({
      firmware: "bios", // nothing boots from the disk here
      watchdog: true,
      allowReboot: true,
      before: shellBeforeReimage,
      beside: `[ -e /freeze ] || exit
until grep -q '"stage-started","stage":"save"' /run/reimage/events.ndjson; do :; done 2>/dev/null
kill -STOP $(pidof reimage) && echo frozen >/dev/ttyS0`,
      furtherConfig: "watchdog: { timeoutSeconds: 5 }\n",
      furtherList: "/boot/efi/kiosk\n",
      append: "reimage.new.mounts./boot/efi=1",
      memoryMiB: 512,
    });
    const first = await openShellBeforeReimage(machine);
    await first.must("touch /freeze");
    first.leave();
    await machine.waitForSerial(/frozen/, runTimeoutMs);
    const second = await openShellBeforeReimage(machine); // after the reset
    second.leave();
    const [warning] = await machine.waitForSerial(/[^\n]*site\.cfg: [^\n]*\n/, runTimeoutMs);
    expect(warning).toContain("owner");
    await machine.waitForSerial(/reimage: success/, runTimeoutMs);
    await machine.waitForSerial(/shell-ready/, bootTimeoutMs); // onSuccess: reboot
    await machine.kill();

    const exported = vm.exportDisk();
    expect(await runTestCommand(["mtype", "-i", `${exported}@@1M`, "::/kiosk/site.cfg"])).toBe("site=42\n");
    const root = { number: 2, startMiB: 3, sizeMiB: 12, holds: "root" } as const;
    const log = await readFileInside(exported, root, "/kiosk/log/reimage.log");
    expect(log).toMatch(/watchdog \/dev\/watchdog0 \(i6300ESB timer\) bites after 5 s/i);
  },
);

machineTest("a program that never stays up ends in a rescue shell, not in a panic", async () => {
  await using vm = await openKioskVm("tiny", "mbr", "virtio", micro.oldDisk);
  await using machine = await vm.startReimage({
    beside: "while :; do kill -9 $(pidof reimage); done 2>/dev/null",
    memoryMiB: 512,
  });
  await machine.waitForSerial(/starting it again \(20 of 20\)/, runTimeoutMs);
  await machine.waitForSerial(/reimage: failed: the program did not stay up/, bootTimeoutMs);
  const shell = await openRescueShell(machine, bootTimeoutMs);
  expect(await shell.must("cat /proc/1/comm")).toBe("init\n");
  expect(machine.serialText()).not.toContain("panic");
  await machine.kill();
  expect(vm.isUntouched()).toBe(true);
});
