/** The machine of the sweep: the least that boots, under emulation, and a disk whose writes may be logged. */
export interface MachineOptions {
  readonly firmware: "bios" | "uefi";
  /** Raw. Changed by the machine, unless `isScratch`. */
  readonly disk: string;
  readonly sectorSizeBytes: 512 | 4096;
  /** The firmware's variables, a file that it changes; UEFI only. */
  readonly variables?: string;
  /** Every write and flush of the machine goes here too, in the format of dm-log-writes. */
  readonly writeLog?: string;
  /** The SKU in the SMBIOS: `arm` tells the old system to arm. */
  readonly sku?: string;
  /** The machine goes on from this memory of another one like it, which was written by `monitor`, instead of from reset. */
  readonly memory?: string;
  /** It ends where it would start again. */
  readonly endsAtReset?: boolean;
  /** A socket that somebody listens on: QEMU's monitor. */
  readonly monitor?: string;
}

export interface Ending {
  /** `off`: the machine switched itself off. Else it was stopped: time was up, it had said nothing for long, or `isOver`. */
  readonly how: "off" | "time" | "silence" | "stopped";
  readonly serial: string;
  readonly seconds: number;
  /** Of the emulator: what a run costs, whatever else this computer does. */
  readonly cpuSeconds: number;
}

export const firmwareCode = "/usr/share/OVMF/OVMF_CODE_4M.fd";
export const firmwareVariables = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/** Runs the machine until it is off, or a limit is reached. @throws Error where QEMU itself fails. */
export async function runMachine(
  options: MachineOptions,
  limits: { readonly seconds: number; readonly silentSeconds: number },
  isOver: (serial: string) => boolean = () => false,
): Promise<Ending> {
  const start = performance.now();
  const qemu = Bun.spawn(["qemu-system-x86_64", ...machineArguments(options)], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let how: Ending["how"] = "off";
  const stop = (why: Ending["how"]): void => {
    if (qemu.exitCode !== null) return;
    how = why;
    qemu.kill("SIGKILL");
  };
  const end = (): void => qemu.kill("SIGKILL");
  process.on("exit", end); // whoever stops this program stops its machines
  const timer = setTimeout(() => stop("time"), limits.seconds * 1000);
  let silence = setTimeout(() => stop("silence"), limits.silentSeconds * 1000);
  try {
    const complaint = new Response(qemu.stderr).text();
    const decoder = new TextDecoder("latin1");
    let serial = "";
    for await (const chunk of qemu.stdout) {
      serial += decoder.decode(chunk, { stream: true });
      clearTimeout(silence);
      silence = setTimeout(() => stop("silence"), limits.silentSeconds * 1000);
      if (isOver(serial)) stop("stopped");
    }
    const status = await qemu.exited;
    if (how === "off" && status !== 0) throw new Error(`QEMU ended with status ${status}: ${(await complaint).trim()}`);
    const cpuSeconds = Number(qemu.resourceUsage()?.cpuTime.total ?? 0) / 1e6;
    return { how, serial, seconds: (performance.now() - start) / 1000, cpuSeconds };
  } finally {
    clearTimeout(timer);
    clearTimeout(silence);
    process.off("exit", end);
    end();
  }
}

function machineArguments(options: MachineOptions): string[] {
  const { firmware, disk, sectorSizeBytes, variables, writeLog, sku, memory, monitor, endsAtReset } = options;
  const memoryMiB = firmware === "bios" ? 512 : 640; // UEFI keeps some for itself
  if (firmware === "uefi" && variables === undefined) throw new Error("a machine with UEFI needs its variables");
  // The host need not flush: what counts is the order in the log.
  const image = `driver=file,node-name=image,filename=${disk},discard=unmap,cache.no-flush=on`;
  const logged = [
    ...["-blockdev", `driver=file,node-name=log,filename=${writeLog},cache.no-flush=on`],
    ...["-blockdev", `driver=blklogwrites,node-name=disk,file=image,log=log,log-sector-size=${sectorSizeBytes}`],
  ];
  const sector = `logical_block_size=${sectorSizeBytes},physical_block_size=${sectorSizeBytes}`;
  return [
    // The oldest CPU that the program is built for: what newer ones have for speed is slow where it is emulated.
    ...["-machine", "pc", "-accel", "tcg,thread=single", "-cpu", "Nehalem", "-smp", "1", "-m", `${memoryMiB}M`],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-nic", "none"],
    ...["-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial"],
    ...(endsAtReset === true ? ["-no-reboot"] : []),
    ...(memory === undefined ? [] : ["-incoming", `exec:cat ${memory}`]),
    // The memory is written while the machine stands still; without this, it would stand still wherever it goes on.
    ...(monitor === undefined ? [] : ["-global", "migration.store-global-state=off"]),
    ...(monitor === undefined ? [] : ["-chardev", `socket,id=qmp,path=${monitor}`, "-mon", "chardev=qmp,mode=control"]),
    ...(sku === undefined ? [] : ["-smbios", `type=1,sku=${sku}`]),
    ...(firmware === "uefi" ? ["-drive", `if=pflash,format=raw,readonly=on,file=${firmwareCode}`] : []),
    ...(variables === undefined ? [] : ["-drive", `if=pflash,format=raw,file=${variables}`]),
    ...["-blockdev", image],
    ...(writeLog === undefined ? [] : logged),
    ...[
      "-device",
      `virtio-blk-pci,drive=${writeLog === undefined ? "image" : "disk"},serial=SWEEP0,bootindex=0,${sector}`,
    ],
  ];
}
