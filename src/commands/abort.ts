/** `reimage abort`: stops a run before its first write, or takes back the reinstallation that the endpoint wants. */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import type { ControlConfig } from "../config/schema.ts";
import { deliver } from "../control/client/deliver.ts";
import { waitingFor } from "../control/client/entries.ts";
import { Refusal } from "../control/client/refusal.ts";
import { type Touched, touchedOf } from "../control/client/touched.ts";
import { asReimageError, describeError, ReimageError } from "../errors.ts";
import { readEvents } from "../report/ndjson.ts";
import { abortFirstWrite } from "../stages/first-write.ts";
import { eventsPath } from "../stages/record.ts";
import { hasEnded, openRunId, readLastRunId } from "../stages/run-id.ts";
import { readLeftTarget } from "../stages/state.ts";
import { lockWorkDir } from "../stages/work-dir.ts";
import { type Command, exitStatus } from "./command.ts";
import {
  endpointOptions,
  endpointUsage,
  openConfiguredEndpoint,
  parseOptions,
  resolveEndpoint,
} from "./control-options.ts";
import { defaultWorkDir } from "./run-options.ts";

export const abortCommand: Command = {
  name: "abort",
  summary: "stop a run before its first write, or take back a reinstallation that is wanted",
  usage: `reimage abort [options]

In the initramfs: stops the run, if it has not begun to write, and the machine boots the old system. Either the run begins to
write or it is stopped, never both. Once it has begun, this refuses: a disk that is partly written does not boot.
In a running system: tells the control endpoint that the reinstallation of this machine is not to take place.

  --reason TEXT      for the log and for the endpoint
  --work DIR         where the run is (default ${defaultWorkDir})
${endpointUsage}

Exit status: 0 done; 2 wrong usage or configuration; 3 the endpoint has not taken it, or there is nothing to abort;
4 the disk is partly written already.
`,
  async run(args) {
    const values = parseOptions(args, { ...endpointOptions, reason: { type: "string" }, work: { type: "string" } });
    const workDir = values.work ?? defaultWorkDir;
    const reason = values.reason ?? "aborted by reimage abort";
    const runId = await findRun(workDir);
    if (runId !== null && !hasEnded(workDir, runId)) return await abortRun(workDir, runId, reason, values);
    const { control } = resolveEndpoint(values);
    // A run that ended with the disk half written is no reinstallation that could be taken back.
    const target = runId === null ? "untouched" : readLeftTarget(workDir);
    const touched = touchedOf(target, target === "untouched" ? [] : readEvents(eventsPath(workDir)));
    say(await tell(control, workDir, runId !== null && target !== "untouched" ? runId : randomUUID(), touched, reason));
    return target === "partial" ? exitStatus.failed : exitStatus.done;
  },
};

/** The run that works here, even where it is only about to begin, or has left off; null: there is none. */
async function findRun(workDir: string): Promise<string | null> {
  if (!existsSync(workDir)) return null;
  return readLastRunId(workDir) ?? ((await isHeld(workDir)) ? openRunId(workDir) : null);
}

async function abortRun(
  workDir: string,
  runId: string,
  reason: string,
  values: Parameters<typeof resolveEndpoint>[0],
): Promise<number> {
  const decided = abortFirstWrite(workDir, runId, reason);
  const isAlive = await isHeld(workDir);
  if (decided.decided === "aborted") {
    say("the run is aborted before its first write: the disk is untouched, and the machine boots the old system");
    if (isAlive) return exitStatus.done; // it tells the endpoint itself
    try {
      say(await tell(resolveEndpoint(values).control, workDir, runId, touchedOf("untouched", []), reason));
    } catch (error) {
      say(`the control endpoint was not told: ${describeError(error)}`);
    }
    return exitStatus.done;
  }
  const target = readLeftTarget(workDir);
  if (target === "complete") {
    throw new ReimageError("aborted", "the new system is complete on the disk: there is nothing to abort", {
      hint: "the machine boots the new system",
    });
  }
  process.stderr.write(
    "reimage: the run has begun to write: the disk does not boot, and this memory holds the only copy of this machine's files\n" +
      `reimage: what to do: ${isAlive ? "let the run end" : "carry on with reimage run --yes, as soon as what stopped it is mended"}\n`,
  );
  if (!isAlive) {
    try {
      const touched = touchedOf(target, readEvents(eventsPath(workDir)));
      say(await tell(resolveEndpoint(values).control, workDir, runId, touched, reason));
    } catch (error) {
      say(`the control endpoint was not told: ${describeError(error)}`);
    }
  }
  return exitStatus.failed;
}

/** Whether a process works on the run. */
async function isHeld(workDir: string): Promise<boolean> {
  try {
    await using _lock = await lockWorkDir(workDir);
    return false;
  } catch (error) {
    if (asReimageError(error).code === "state") return true;
    throw error;
  }
}

/** Tells the endpoint. @returns what it said */
async function tell(
  control: ControlConfig,
  workDir: string,
  runId: string,
  target: Touched,
  reason: string,
): Promise<string> {
  const { endpoint, machineId } = await openConfiguredEndpoint(control, existsSync(workDir) ? workDir : null);
  const message = { runId, target, reason };
  try {
    const settles = [waitingFor({ kind: "abort", message })];
    const verdict = await deliver(endpoint, machineId, { kind: "abort", message, settles });
    return `${endpoint.name}: ${verdict?.says}`;
  } catch (thrown) {
    if (!(thrown instanceof Refusal)) throw thrown;
    throw new ReimageError("control", `${endpoint.name} ${thrown.message}`, {
      hint: thrown.hint ?? "it knows nothing of this abort: try again",
    });
  }
}

function say(text: string): void {
  process.stdout.write(`reimage: ${text}\n`);
}
