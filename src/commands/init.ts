/**
 * `reimage init`: the whole run in the initramfs, from the bare kernel to the reboot. initramfs/init starts it, and again
 * if it dies: every step finds out what is done already.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseKernelCommandLine } from "../config/kernel-command-line.ts";
import { resolveConfig } from "../config/resolve.ts";
import type { Config } from "../config/schema.ts";
import { refuseUnsupported } from "../config/support.ts";
import { asReimageError, describeError, ReimageError } from "../errors.ts";
import { findBootVariables } from "../firmware/firmware.ts";
import {
  boardLifeboat,
  configAboard,
  countAttempt,
  isLifeboatNoted,
  requireNotGivenUp,
  unpackLifeboat,
} from "../init/boarding.ts";
import { openConsoles } from "../init/consoles.ts";
import { waitForTarget } from "../init/devices.ts";
import { createGuardian, type Guardian } from "../init/guardian.ts";
import { hasSucceeded } from "../init/left-behind.ts";
import { clearLeftovers } from "../init/leftovers.ts";
import { limitRunDirectory } from "../init/memory.ts";
import { loadModules, watchForHardware } from "../init/modules.ts";
import { mountFromTable } from "../init/mount-table.ts";
import { networkNeed, startNetwork } from "../init/network.ts";
import { startShells } from "../init/shells.ts";
import { startWatchdog, type Watchdog } from "../init/watchdog.ts";
import type { Lifeboat } from "../lifeboat/lifeboat.ts";
import { isOldOsWhole } from "../lifeboat/record.ts";
import { createConsoleSink } from "../report/console.ts";
import type { Reporter } from "../report/events.ts";
import { createLogSink } from "../report/log.ts";
import { createNdjsonSink, readLastSeq } from "../report/ndjson.ts";
import { writeReport } from "../report/report-json.ts";
import { createReporter } from "../report/reporter.ts";
import { eventsPath, logPath, reportFor, reportPath } from "../stages/record.ts";
import { runStages } from "../stages/run.ts";
import { openRunId, readLastRunId } from "../stages/run-id.ts";
import { readLeftTarget } from "../stages/state.ts";
import { lockWorkDir } from "../stages/work-dir.ts";
import { version } from "../version.ts";
import { createLateSink, noControl, openControl } from "./control.ts";
import { type Ended, endRun, type Session, warn } from "./init-ending.ts";
import { defaultConfigPath } from "./run-options.ts";

const workDir = "/run/reimage";
/** Where there is no configuration that could say otherwise. */
const DEFAULT_WAIT_SECONDS = 60;
const DEFAULT_SHELLS = ["tty2", "tty3"];

/** Runs, then ends the machine or exits with `RESCUE_STATUS`. @throws ReimageError `usage` outside the initramfs. */
export async function runInit(): Promise<never> {
  if (process.ppid !== 1 || process.env.REIMAGE_STARTS === undefined) {
    throw new ReimageError(
      "usage",
      "init is started by the initramfs and ends the machine; it is not for a running system",
      {
        hint: "use `reimage plan` and `reimage run` instead",
      },
    );
  }
  const session = openSession();
  const ended = await runAll(session);
  return await endRun(ended, session, workDir);
}

function openSession(): Session {
  mkdirSync(workDir, { recursive: true, mode: 0o700 });
  quietenKernel(readFileSync("/proc/cmdline", "utf8"));
  const { consoles, failures } = openConsoles();
  const guardian = createGuardian();
  const lateSink = createLateSink();
  const sinks = [
    createConsoleSink(consoles),
    createLogSink(logPath(workDir)),
    createNdjsonSink(eventsPath(workDir)),
    guardian.sink,
    lateSink,
  ];
  const reporter = createReporter(sinks, readLastSeq(eventsPath(workDir)));
  for (const failure of failures) detail(reporter, `a console cannot be opened: ${describeError(failure)}`);
  return { consoles, reporter, guardian, lateSink };
}

/** Kernel messages below "error" would break the progress bar; they stay in dmesg. Who asked for more gets it. */
function quietenKernel(commandLine: string): void {
  if (!/(^|\s)(debug|ignore_loglevel|loglevel=\S*)(\s|$)/.test(commandLine))
    writeFileSync("/proc/sys/kernel/printk", "4");
}

async function runAll({ reporter, guardian, lateSink }: Session): Promise<Ended> {
  let config: Config | null = null;
  let watchdog: Watchdog | null = null;
  let control = noControl;
  let runId: string | null = null;
  let lifeboat: Lifeboat | null = null;
  try {
    for (const failure of await mountFromTable()) warn(reporter, describeError(failure));
    await clearLeftovers(workDir);
    await using _lock = await lockWorkDir(workDir); // against a technician's `reimage run` in a shell beside it
    const read = readConfig();
    config = read.config;
    for (const terminal of await startShells(config?.shells ?? DEFAULT_SHELLS, workDir)) {
      warn(reporter, `there is no ${terminal}, hence no shell on it`);
    }
    const seen = new Set<string>();
    const start = performance.now();
    for (const complaint of await loadModules(seen)) detail(reporter, complaint);
    detail(reporter, `drivers for ${seen.size} devices after ${Math.round(performance.now() - start)} ms`);
    const isAboard = isLifeboatNoted();
    if (config !== null) watchdog = await guardWith(config, reporter, guardian, isAboard); // over all that reads a disk
    const isOver = hasSucceeded(workDir) && readLeftTarget(workDir) === "untouched";
    // After a success it may be wiped already.
    if (isAboard && isOver) lifeboat = await boardLifeboat(0).catch(() => null);
    else if (isAboard) lifeboat = await boardLifeboat(config?.waitSeconds ?? DEFAULT_WAIT_SECONDS);
    if (config === null) throw read.error;
    if (lifeboat !== null && !isOver) {
      await requireNotGivenUp(lifeboat);
      config = configAboard(config, lifeboat.header, lifeboat.disk.path);
      await countAttempt(lifeboat, workDir);
      await unpackLifeboat(lifeboat, workDir, config);
      const { state, attempts } = lifeboat.record;
      detail(reporter, `booted from the lifeboat on ${lifeboat.disk.path}: state ${state}, attempt ${attempts}`);
    }
    runId = (isOver ? readLastRunId(workDir) : null) ?? openRunId(workDir);
    leaveOnFailure(config);
    const availableBytes = await limitRunDirectory();
    detail(
      reporter,
      `start ${process.env.REIMAGE_STARTS}, ${Math.floor(availableBytes / 2 ** 20)} MiB of memory available`,
    );
    await using _hardware = watchForHardware(seen, (complaint) => detail(reporter, complaint));
    const commandLine = readFileSync("/proc/cmdline", "utf8");
    await using network = startNetwork(networkNeed(config, commandLine), commandLine, config.waitSeconds, {
      onStep: (message) => reporter.emit({ type: "step", stage: null, message }),
      onWarning: (message) => warn(reporter, message),
      onDetail: (message) => detail(reporter, message),
    });
    const { waitSeconds } = config;
    const shared = { workDir, runId, reporter, waitSeconds };
    control = await openControl(config, { ...shared, lateSink, network: network.up() });
    const ended = { config, watchdog, control, lifeboat };
    if (isOver) return { outcome: "success", target: "complete", code: null, reason: null, ...ended };
    const isUntouched = readLeftTarget(workDir) === "untouched";
    if (isUntouched) await waitForTarget(config);
    await network.ready().catch((error: unknown) => {
      if (isUntouched) throw error;
      warn(reporter, describeError(error)); // the image may be in memory by now
    });
    const booted = { lifeboat, bootVariables: await findBootVariables() };
    const outcome = await runStages(config, { ...shared, overseer: control.overseer, version, ...booted });
    const error = outcome.kind === "failed" ? outcome.error : null;
    const reason = error === null ? null : describeError(error);
    return { outcome: outcome.kind, target: outcome.target, code: error?.code ?? null, reason, ...ended };
  } catch (thrown) {
    const error = asReimageError(thrown);
    // What was parked may not have come back; the record knows what has become of the target. Without it nobody does.
    const isTouched = lifeboat === null ? isLifeboatNoted() : !isOldOsWhole(lifeboat.record.state);
    const target = isTouched ? "partial" : readLeftTarget(workDir);
    const [reason, hint] = [describeError(error), error.hint ?? null];
    const aboard = isLifeboatNoted() ? ({ hasLifeboat: true } as const) : {};
    reporter.emit({ type: "run-failed", stage: null, target, code: error.code, reason, hint, ...aboard });
    try {
      const report = reportFor(workDir, runId, { outcome: "failed", stage: null, target, error }, null, null, null);
      writeReport(reportPath(workDir), report);
    } catch (cause) {
      warn(reporter, `${reportPath(workDir)} cannot be written: ${describeError(cause)}`);
    }
    return { outcome: "failed", target, code: error.code, reason, config, watchdog, control, lifeboat };
  }
}

/** Tells the bootstrap how to go on where this program cannot stay up (busybox's `reboot` or `poweroff`). */
function leaveOnFailure({ onFailure }: Config): void {
  const path = join(workDir, "on-failure");
  if (onFailure === "shell") rmSync(path, { force: true });
  else writeFileSync(path, onFailure);
}

/** The configuration, or why there is none: then a technician needs shells and his keyboard all the more. */
function readConfig(): { config: Config; error: null } | { config: null; error: unknown } {
  try {
    const text = existsSync(defaultConfigPath) ? readFileSync(defaultConfigPath, "utf8") : null;
    const overrides = parseKernelCommandLine(readFileSync("/proc/cmdline", "utf8"));
    const config = resolveConfig(text, defaultConfigPath, overrides);
    refuseUnsupported(config, { kexec: false });
    return { config, error: null };
  } catch (error) {
    return { config: null, error };
  }
}

async function guardWith(
  config: Config,
  reporter: Reporter,
  guardian: Guardian,
  isRepeatable: boolean,
): Promise<Watchdog | null> {
  if (!config.watchdog.enabled) return null;
  const { timeoutSeconds } = config.watchdog;
  const stallSeconds = Math.max(config.watchdog.stallSeconds, config.waitSeconds + timeoutSeconds); // waiting is no stall
  let watchdog: Watchdog | null;
  try {
    watchdog = await startWatchdog(timeoutSeconds, workDir);
  } catch (error) {
    warn(reporter, `the watchdog cannot be started: ${describeError(error)}`); // a run without one is still a run
    return null;
  }
  if (watchdog === null) {
    detail(reporter, "this machine has no watchdog");
    return null;
  }
  detail(reporter, `watchdog ${watchdog.path} (${watchdog.identity}) bites after ${watchdog.timeoutSeconds} s`);
  const onStall = () =>
    warn(reporter, `nothing has moved for ${stallSeconds} s; the disk is partly written, so the machine is not reset`);
  guardian.guard(watchdog, { stallSeconds, target: readLeftTarget(workDir), isRepeatable, onStall });
  return watchdog;
}

function detail(reporter: Reporter, message: string): void {
  reporter.emit({ type: "detail", stage: null, message });
}
