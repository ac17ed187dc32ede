/** `reimage arm`: judges everything in the running old OS, and makes the next boot reimage's. */
import { readFileSync } from "node:fs";
import { type Armed, arm } from "../arming/arm.ts";
import { type Carried, carriedConfig, formatOverrides, nextCommandLine } from "../arming/carried.ts";
import type { DriverList } from "../arming/driver-list.ts";
import { readBootFiles, requireDrivers } from "../arming/drivers.ts";
import { type BootFacts, readBootFacts } from "../arming/firmware-checks.ts";
import { holdStateDir, readKeptNote, removeKeptNote, writeKeptNote } from "../arming/kept-note.ts";
import { openWorkFolder, removeLeftFolders } from "../arming/work-folder.ts";
import { ReimageError } from "../errors.ts";
import { newcArchive } from "../lifeboat/boot-volume/cpio.ts";
import { describeFallback, type OneShotUndo, setOneShot } from "../one-shot/one-shot.ts";
import { createConsoleSink } from "../report/console.ts";
import type { Reporter } from "../report/events.ts";
import { formatBytes } from "../report/format.ts";
import { createReporter } from "../report/reporter.ts";
import { lookingContext, type StageContext } from "../stages/context.ts";
import { type Judgement, judge } from "../stages/judge.ts";
import { nobody } from "../stages/overseer.ts";
import { type ArmOptions, armOptionsUsage, parseArmOptions } from "./arm-options.ts";
import { type Command, exitStatus } from "./command.ts";

export const armCommand: Command = {
  name: "arm",
  summary: "on the running old system: judge everything, and make the next boot reimage this machine",
  usage: `reimage arm [options]

Judges everything as \`reimage plan\` would, on the running system. Then puts a lifeboat (kernel, initramfs, configuration and
image) on the disk, where the new image does not write, and makes the machine boot it. From there a power cut only means
that it carries on. Nothing of the old system is destroyed by arming; \`reimage disarm\` takes everything back.

${armOptionsUsage}

Exit status: 0 armed, 2 wrong usage or configuration, 3 refused and nothing was changed.
`,
  async run(args) {
    if (process.geteuid?.() !== 0)
      throw new ReimageError("usage", "arming writes to the disk and needs root", { hint: "use sudo" });
    const options = parseArmOptions(args);
    await using _held = await holdStateDir(options.stateDir);
    if (readKeptNote(options.stateDir) !== null) {
      throw new ReimageError("lifeboat", "this machine is armed already, or arming it was interrupted", {
        hint: "`reimage status` says how; `reimage disarm` takes it back, and then it can be armed anew",
      });
    }
    await removeLeftFolders();
    await using folder = await openWorkFolder();
    const reporter = openReporter(options.json);
    const context = lookingContext({ workDir: folder.path, overseer: nobody, reporter, isLiving: true });
    const drivers = await readBootFiles(options, (message) => warn(context, message));
    const prepared = { options, context, drivers };
    const result = options.isRamWanted ? await armInMemory(prepared) : await armSafely(prepared);
    process.stdout.write(options.json ? `${JSON.stringify(result.data, null, 2)}\n` : result.text);
    return exitStatus.done;
  },
};

interface Prepared {
  readonly options: ArmOptions;
  readonly context: StageContext;
  /** What the initramfs has drivers for; null: it does not say. */
  readonly drivers: DriverList | null;
}

interface Result {
  readonly data: object;
  readonly text: string;
}

function openReporter(json: boolean): Reporter {
  const stream = json ? process.stderr : process.stdout;
  const kind = stream.isTTY ? "terminal" : "line";
  return createReporter([createConsoleSink([{ kind, write: (text) => void stream.write(text) }])], 0);
}

/** With a lifeboat; where none fits, and the operator accepts it, without. */
async function armSafely(prepared: Prepared): Promise<Result> {
  const { options, context, drivers } = prepared;
  const carried = carriedConfig(options.config, options.configPath);
  const boot = await readBootFacts(options.kernelPath, options.loaderPath);
  try {
    await using judged = await judge(options.config, context, { copy: false, parks: true, memoryDir: context.workDir });
    await requireDrivers(drivers, judged.target.name);
    const armed = await arm({
      ...{ judged, context, boot, config: options.config },
      ...{ kernelPath: options.kernelPath, initramfsPath: options.initramfsPath, stateDir: options.stateDir },
      commandLine: commandLineOf(options, carried),
      carried: carried.files,
      mostAttempts: options.attempts,
      ...(options.place === null ? {} : { only: options.place }),
    });
    return { data: describe(armed, judged), text: formatArmed(armed, judged, boot) };
  } catch (error) {
    if (!(error instanceof ReimageError) || error.code !== "lifeboat" || !options.acceptsRisk) throw error;
    warn(context, `${error.message}; everything is kept in memory instead`);
    return await armInMemory(prepared);
  }
}

async function armInMemory({ options, context, drivers }: Prepared): Promise<Result> {
  const carried = carriedConfig(options.config, options.configPath);
  await using judged = await judge(options.config, context, { copy: false, parks: false, memoryDir: context.workDir });
  await requireDrivers(drivers, judged.target.name);
  // Whoever is killed in the middle leaves a machine that can be disarmed.
  const keep = (undo: OneShotUndo) => writeKeptNote(options.stateDir, { kind: "one-shot", undo });
  const request = {
    root: "/",
    ...{ kernelPath: options.kernelPath, initramfsPath: options.initramfsPath },
    configArchive: newcArchive(carried.files),
    commandLine: commandLineOf(options, carried),
    ...(options.method === null ? {} : { method: options.method }),
  };
  const undo = await setOneShot(request, keep).catch((error: unknown) => {
    removeKeptNote(options.stateDir); // it has been taken back
    throw error;
  });
  keep(undo);
  return {
    data: { mode: "ram", target: judged.target, method: undo.method, done: undo.done },
    text: formatOneShot(undo, judged),
  };
}

function warn(context: StageContext, message: string): void {
  context.reporter.emit({ type: "warning", stage: "save", message });
}

function commandLineOf({ overrides, append }: ArmOptions, carried: Carried): string {
  const current = readFileSync("/proc/cmdline", "utf8");
  const keys = formatOverrides([...overrides, ...carried.overrides]);
  return nextCommandLine(current, [...keys, ...(append === null ? [] : [append])]);
}

function describe(armed: Armed, judged: Judgement) {
  const { uuid, disk, kind, description, sizeBytes } = armed;
  return { mode: "lifeboat", uuid, target: disk, place: { kind, description, sizeBytes }, image: judged.image.imageId };
}

function formatArmed({ disk, description, sizeBytes }: Armed, judged: Judgement, boot: BootFacts): string {
  return `Armed: the next start of this machine replaces its system with image ${judged.image.imageId}.
Target     ${disk.path}, ${formatBytes(disk.sizeBytes)}, serial ${disk.serial ?? "unknown"}: ALL OF IT WILL BE OVERWRITTEN
Lifeboat   ${formatBytes(sizeBytes)} in ${description}; this machine boots it by ${boot.firmware === "bios" ? "its boot sector" : "its partition table"}
Power cuts now, and until the disk is written: the machine starts the lifeboat, which starts over
           while the disk is written: the lifeboat writes it again
           after the commit: the new system starts
           whatever fails before the disk is written brings the old system back
Undo       reimage disarm (until the machine is restarted)
Next       restart the machine
`;
}

function formatOneShot({ method, done }: OneShotUndo, judged: Judgement): string {
  return `Armed without a lifeboat: the next start of this machine replaces its system with image ${judged.image.imageId}.
Target     ${judged.target.path}, ${formatBytes(judged.target.sizeBytes)}: ALL OF IT WILL BE OVERWRITTEN
Boots once by ${method}: ${done.join("; ")}
If it fails ${describeFallback(method)}
POWER CUTS while the disk is written leave this machine without a system and without its files
Undo       reimage disarm (until the machine is restarted)
Next       ${method === "kexec" ? "systemctl kexec" : "systemctl reboot (in an orderly way: boot loaders read file systems without their journal)"}
`;
}
