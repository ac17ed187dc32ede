/** A machine with disks that fail, on which one is reimaged after the other, in the shell before reimage. */
import { randomUUID } from "node:crypto";
import type { RunReport } from "../../src/report/report-json.ts";
import { type FaultImages, faultDiskMiB, imageSources } from "./fault-image.ts";
import { type GuestShell, openShellBeforeReimage, shellBeforeReimage } from "./guest-shell.ts";
import { type KioskVm, openKioskVm, type ReimageOptions } from "./kiosk-vm.ts";
import { type DiskFaults, NbdDisk } from "./nbd-disk.ts";
import type { Vm } from "./qemu.ts";
import type { VmDisk } from "./vm-disk.ts";

const MiB = 1 << 20;
const runTimeoutMs = 300_000;

/** How a run on such a machine ended. */
export interface FaultRun {
  readonly status: number;
  readonly report: RunReport;
  /** What it printed. */
  readonly output: string;
}

export interface FaultRunOptions {
  /** A key of `imageSources`, or another source that is signed. */
  readonly image?: string;
  /** More of `key=value`. */
  readonly set?: readonly string[];
  /** Shell commands that run beside it; `$disk` is the target's kernel name, `$work` the work directory. */
  readonly beside?: string;
  /** What to do once, as soon as this has come over the serial console. */
  readonly when?: { readonly says: RegExp; act(): Promise<unknown> };
}

export interface FaultMachine extends AsyncDisposable {
  readonly vm: Vm;
  readonly shell: GuestShell;
  /** Reimages the disk with this serial number; the signed image, unless another one is named. */
  run(serial: string, options?: FaultRunOptions): Promise<FaultRun>;
}

/** Starts it with the source of the images and `disks`, the last of which is the last one that the machine sees. */
export async function startFaultMachine(
  images: FaultImages,
  disks: readonly VmDisk[],
  { before = "", ...options }: ReimageOptions = {},
): Promise<FaultMachine> {
  await using stack = new AsyncDisposableStack();
  const listener = createListener();
  const kiosk: KioskVm = stack.use(await openKioskVm("tiny", "mbr", "virtio"));
  const vm = stack.use(
    await kiosk.startReimage({
      disks: [images.source, ...disks],
      before: `/usr/bin/modprobe -a ext4\ndmesg -n 1 # the console is for the shell\n${before}\n${shellBeforeReimage}`,
      memoryMiB: 640,
      ...options,
      onSerial: listener.hear,
      append: `no_timer_check ${options.append ?? ""}`,
    }),
  );
  const shell = await openShellBeforeReimage(vm);
  await shell.must(`echo '${images.publicKey}' >/tmp/own.pub`);
  const kept = stack.move();
  return {
    vm,
    shell,
    run: (serial, { when, ...run } = {}) => listener.during(when, () => reimage(shell, serial, run)),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Hears the serial console, for one thing at a time. */
function createListener() {
  let heard = "";
  let onText = () => {};
  return {
    hear(text: string): void {
      heard += text;
      onText();
    },
    async during<T>(when: FaultRunOptions["when"], run: () => Promise<T>): Promise<T> {
      if (when === undefined) return await run();
      let acted: Promise<unknown> | null = null;
      heard = "";
      onText = () => {
        if (acted === null && when.says.test(heard)) acted = when.act();
      };
      const result = await run();
      if (acted === null) throw new Error(`the machine never said ${when.says}`);
      await acted;
      return result;
    },
  };
}

async function reimage(
  shell: GuestShell,
  serial: string,
  { image = "signed", set = [], beside }: Omit<FaultRunOptions, "when">,
): Promise<FaultRun> {
  const source = image in imageSources ? imageSources[image as keyof typeof imageSources] : image;
  const settings = [
    `image.source=${source}`,
    ...(image === "plain" ? [] : ["image.publicKey=/tmp/own.pub"]),
    ...["old.root=none", "retention.list=", "log=", `target.disk=serial=${serial}`, "new.root=1"],
    ...set,
  ];
  const marker = randomUUID();
  const { status, output } = await shell.run(
    `work=/tmp/work-${serial}; rm -rf $work
disk=$(basename $(dirname $(grep -l '^${serial}$' /sys/block/vd*/serial)))
${beside === undefined ? "" : `(${beside}) >/tmp/beside 2>&1 &`}
reimage run --yes ${settings.map((each) => `--set '${each}'`).join(" ")} --work $work 2>&1; status=$?
wait; echo ${marker}; cat $work/report.json; exit $status`,
    runTimeoutMs,
  );
  const [said = "", report = ""] = output.split(marker);
  if (report.trim() === "")
    throw new Error(`reimage made no report; it ended with status ${status} and said:\n${said}`);
  return { status, report: JSON.parse(report), output: said };
}

/** A disk that lies or fails, and how a machine attaches it. */
export interface FaultyDisk extends AsyncDisposable {
  readonly nbd: NbdDisk;
  readonly disk: VmDisk;
}

/** Full of 0xFF, and as large as other disks for these images. */
export async function startFaultyDisk(
  folder: string,
  serial: string,
  faults: DiskFaults | ((disk: NbdDisk) => DiskFaults) = {},
): Promise<FaultyDisk> {
  const nbd = await NbdDisk.start(`${folder}/${serial}.socket`, faultDiskMiB * MiB, 0xff);
  nbd.faults = typeof faults === "function" ? faults(nbd) : faults;
  return {
    nbd,
    disk: { file: nbd.socketPath, format: "nbd", bus: "virtio", serial },
    [Symbol.asyncDispose]: () => nbd[Symbol.asyncDispose](),
  };
}
