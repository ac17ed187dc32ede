/** One Debian kiosk, reimaged and then booted: a machine of the matrix in test/vm/reimage.test.ts. */
import { createHash } from "node:crypto";
import { createReadStream, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Table } from "../../scripts/kiosk/layouts.ts";
import { bootTimeoutMs, type KioskVm, openKioskVm, reimageTimeoutMs } from "./kiosk-vm.ts";
import { runTestCommand } from "./loop-device.ts";
import type { Vm, VmOptions } from "./qemu.ts";
import type { DiskBus, VmDisk } from "./vm-disk.ts";

export interface Machine {
  readonly table: Table;
  readonly bus: DiskBus;
  readonly diskCount: 1 | 3;
  /** What is not given is as everywhere (test/support/qemu.ts). */
  readonly processor?: Pick<VmOptions, "cpu" | "cpus">;
}

/** The kiosk after its reimage, before the new OS has run. */
export interface Reimaged {
  readonly kiosk: KioskVm["kiosk"];
  /** The line that ended the run. */
  readonly ending: string;
  /** Digests of the other disks. */
  readonly othersBefore: readonly string[];
  readonly othersAfter: readonly string[];
  /** What the disk holds, raw. */
  readonly disk: string;
}

export interface DebianRun extends AsyncDisposable {
  readonly reimaged: Promise<Reimaged>;
  /** What the new OS said on the serial console up to its login prompt. */
  readonly booted: Promise<string>;
}

/** Starts a run. Disposing ends it wherever it is. */
export function startDebianRun(machine: Machine): DebianRun {
  let kiosk: KioskVm | null = null;
  let running: Vm | null = null;
  let isOver = false;
  const use = async <T>(starting: Promise<Vm>, work: (vm: Vm) => Promise<T>): Promise<T> => {
    await using vm = await starting;
    running = vm;
    if (isOver) throw new Error("the run was ended");
    return await work(vm);
  };

  const reimage = async (): Promise<Reimaged> => {
    kiosk = await openKioskVm("debian", machine.table, machine.bus);
    const others = machine.diskCount === 3 ? await makeOtherDisks(kiosk.folder, machine.bus) : [];
    const digests = () => Promise.all(others.map(({ file }) => sha256(file)));
    const othersBefore = await digests();
    const [first, ...rest] = others;
    // The target is neither the first disk nor the last one.
    const disks = first === undefined ? [kiosk.disk] : [first, kiosk.disk, ...rest];
    const ending = await use(kiosk.startReimage({ ...machine.processor, disks }), async (vm) => {
      const [line] = await vm.waitForSerial(/reimage: (success|failed)[^\r\n]*[\r\n]/, reimageTimeoutMs);
      if (line.startsWith("reimage: success")) await vm.waitForExit(bootTimeoutMs); // onSuccess: reboot
      return line;
    });
    return { kiosk: kiosk.kiosk, ending, othersBefore, othersAfter: await digests(), disk: kiosk.exportDisk() };
  };
  const boot = async ({ ending }: Reimaged): Promise<string> => {
    if (kiosk === null || !ending.startsWith("reimage: success"))
      throw new Error(`there is nothing to boot: ${ending}`);
    return await use(kiosk.startFromDisk(machine.processor ?? {}), async (vm) => {
      await vm.waitForSerial(/\(RSA\)/, bootTimeoutMs); // the last line about its identity
      await vm.waitForSerial(/login:/, bootTimeoutMs);
      return vm.serialText();
    });
  };
  const reimaged = reimage();
  const booted = reimaged.then(boot);
  booted.catch(() => {}); // the tests see it; nobody may be waiting yet
  return {
    reimaged,
    booted,
    async [Symbol.asyncDispose]() {
      isOver = true;
      await running?.kill();
      await booted.catch(() => {});
      await kiosk?.[Symbol.asyncDispose]();
    },
  };
}

async function sha256(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  return hash.digest("hex");
}

/** A disk of noise on the same bus, and a USB stick with a file system. */
async function makeOtherDisks(folder: string, bus: DiskBus): Promise<VmDisk[]> {
  const noise = join(folder, "noise.img");
  writeFileSync(noise, crypto.getRandomValues(new Uint8Array(65536)));
  await runTestCommand(["truncate", "-s", "32M", noise]);
  const stick = join(folder, "stick.img");
  await runTestCommand(["truncate", "-s", "16M", stick]);
  await runTestCommand(["mke2fs", "-q", "-t", "ext4", "-L", "holiday", stick]);
  return [
    { file: noise, format: "raw", bus, serial: "NOISE" },
    { file: stick, format: "raw", bus: "usb", serial: "STICK" },
  ];
}
