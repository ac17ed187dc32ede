/** Starts virtual machines in software emulation, and talks to them over the serial console and QMP. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Qmp } from "./qmp.ts";
import { SerialConsole } from "./serial-console.ts";
import { type VmDisk, vmDiskArguments } from "./vm-disk.ts";

export type { VmDisk } from "./vm-disk.ts";

/** A machine. No network, unless `extraArguments` adds one. */
export interface VmOptions {
  readonly firmware: "bios" | "uefi";
  readonly disks: readonly VmDisk[];
  readonly memoryMiB?: number;
  /** 1, unless given: another one costs the emulation more than it brings, where machines run beside each other. */
  readonly cpus?: number;
  /** QEMU's CPU model; `quickestCpu`, unless given. */
  readonly cpu?: string;
  /** Booted directly instead of from a disk. */
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  /** The variables of the UEFI firmware, a copy of OVMF_VARS_4M.fd: kept. Fresh ones, which go away, unless given. */
  readonly variables?: string;
  /** UEFI with Secure Boot on, which trusts Debian's snakeoil key (/usr/share/ovmf/PkKek-1-snakeoil.*). */
  readonly secureBoot?: boolean;
  /** Adds a hardware watchdog (i6300esb) that resets the machine. */
  readonly watchdog?: boolean;
  /** A reboot restarts the machine; without it, a reboot ends QEMU, as powering off always does. */
  readonly allowReboot?: boolean;
  /** Sees everything that arrives on the serial console, at once. */
  readonly onSerial?: (text: string) => void;
  readonly extraArguments?: readonly string[];
}

export interface Vm extends AsyncDisposable {
  readonly pid: number;
  /** Everything that has come over the serial console. */
  serialText(): string;
  /** Waits for text that has not been waited for yet; returns the match. Fails when QEMU ends or time is up. */
  waitForSerial(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray>;
  sendSerial(text: string): void;
  /** Resolves when QEMU has ended, with its exit status; null after a signal. */
  readonly exited: Promise<number | null>;
  /** Waits for QEMU to end by itself; fails with the end of the serial console when time is up. */
  waitForExit(timeoutMs: number): Promise<void>;
  /** A QMP command (QEMU's QMP reference manual), such as `stop`, `cont`, `system_reset`, `screendump`. */
  qmp(command: string, parameters?: Record<string, unknown>): Promise<unknown>;
  /** As pulling the plug. */
  kill(): Promise<void>;
}

const ovmfFolder = "/usr/share/OVMF";

/**
 * The oldest that the binary is built for, with the fewest instructions to emulate. As one of AMD's, which need no guard against
 * Meltdown: with it the kernel changes its page tables at every system call, and the emulation begins anew with its cache of them.
 */
const quickestCpu = "Nehalem,vendor=AuthenticAMD,family=16";

/** Starts QEMU. `await using` ends it, and this one alone. */
export async function startVm(options: VmOptions): Promise<Vm> {
  const folder = await mkdtemp(join(tmpdir(), "reimage-vm-"));
  const qmpSocket = join(folder, "qmp");
  const server = createServer().listen(qmpSocket);
  await once(server, "listening");
  const connection = once(server, "connection");
  const variables = options.variables ?? join(folder, "efivars.fd");
  if (options.firmware === "uefi" && options.variables === undefined)
    await copyFreshVariables(variables, options.secureBoot);
  const qemu = spawn("qemu-system-x86_64", [...machineArguments(options, variables), ...qmpArguments(qmpSocket)], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  const console = new SerialConsole(options.onSerial);
  qemu.stdout.on("data", (chunk: Buffer) => console.append(chunk.toString("latin1")));
  let complaint = "";
  qemu.stderr.on("data", (chunk: Buffer) => {
    complaint += chunk.toString();
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    qemu.once("error", reject);
    qemu.once("close", (status) => {
      const ending = `QEMU ended with status ${status}${complaint === "" ? "" : `: ${complaint.trim()}`}`;
      console.end(ending);
      resolve(status);
    });
  });
  const kill = async (): Promise<void> => {
    endProcess(qemu);
    await exited;
  };
  const dispose = async (): Promise<void> => {
    await kill();
    server.close();
    await rm(folder, { recursive: true, force: true });
  };
  let qmp: Qmp;
  try {
    const failed = exited.then(() => Promise.reject(new Error("QEMU did not start")));
    qmp = await Promise.race([connection.then(([socket]) => Qmp.open(socket)), failed]);
  } catch (error) {
    await dispose();
    throw complaint === "" ? error : new Error(`QEMU did not start: ${complaint.trim()}`);
  }
  return {
    pid: qemu.pid ?? -1,
    serialText: () => console.text,
    waitForSerial: (pattern, timeoutMs) => console.waitFor(pattern, timeoutMs),
    sendSerial: (text) => qemu.stdin.write(text),
    exited,
    async waitForExit(timeoutMs) {
      await console.waitForEnd(timeoutMs);
      await exited;
    },
    qmp: (command, parameters) => qmp.execute(command, parameters),
    kill,
    [Symbol.asyncDispose]: dispose,
  };
}

/** Variables of a firmware that has never run; with Secure Boot on, where it is wanted. */
export async function copyFreshVariables(file: string, secureBoot = false): Promise<void> {
  await copyFile(join(ovmfFolder, secureBoot ? "OVMF_VARS_4M.snakeoil.fd" : "OVMF_VARS_4M.fd"), file);
}

function endProcess(process: ChildProcess): void {
  if (process.exitCode === null && process.signalCode === null) process.kill("SIGKILL");
}

function qmpArguments(socket: string): string[] {
  return ["-chardev", `socket,id=qmp,path=${socket}`, "-mon", "chardev=qmp,mode=control"];
}

function machineArguments(options: VmOptions, variables: string): string[] {
  const { kernel, initrd, append, secureBoot = false } = options;
  const code = secureBoot ? "OVMF_CODE_4M.secboot.fd" : "OVMF_CODE_4M.fd";
  const firmware = [
    ...["-drive", `if=pflash,format=raw,readonly=on,file=${ovmfFolder}/${code}`],
    ...["-drive", `if=pflash,format=raw,file=${variables}`],
  ];
  return [
    // kvm, where /dev/kvm exists at all, may hang in nested machines; emulation works everywhere.
    ...["-machine", secureBoot ? "q35,smm=on" : "q35", "-accel", "tcg,thread=multi"],
    ...["-cpu", options.cpu ?? quickestCpu],
    ...["-smp", String(options.cpus ?? 1), "-m", `${options.memoryMiB ?? 1024}M`],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-vga", "std", "-net", "none"],
    ...["-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial"],
    ...["-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"],
    ...(options.firmware === "uefi" ? firmware : []),
    ...(secureBoot ? ["-global", "driver=cfi.pflash01,property=secure,value=on"] : []),
    ...(options.watchdog === true ? ["-device", "i6300esb", "-watchdog-action", "reset"] : []),
    ...(options.allowReboot === true ? [] : ["-no-reboot"]),
    ...(kernel === undefined ? [] : ["-kernel", kernel]),
    ...(initrd === undefined ? [] : ["-initrd", initrd]),
    ...(append === undefined ? [] : ["-append", append]),
    ...vmDiskArguments(options.disks, kernel === undefined),
    ...(options.extraArguments ?? []),
  ];
}
