/** `reimage report`: sends what a run could not send, from the new OS or from a shell in the initramfs. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { deliver, type Verdict } from "../control/client/deliver.ts";
import { queuePath } from "../control/client/paths.ts";
import { handedOverEntries, openQueue, parseQueue } from "../control/client/queue.ts";
import type { Refusal } from "../control/client/refusal.ts";
import { startSender } from "../control/client/sender.ts";
import { ReimageError } from "../errors.ts";
import { handOverName } from "../stages/overseer.ts";
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

export const reportCommand: Command = {
  name: "report",
  summary: "send the control endpoint what a run could not send",
  usage: `reimage report [options]

Sends the events and the report that a run has left: in the new system, or in memory while the initramfs runs. When the
endpoint has taken all of it, the file is removed. It can be run as often as you like: nothing is counted twice.

  --queue FILE       the file (default ${handOverName} in log of the configuration; in the initramfs, the queue in memory)
  --wait SECONDS     how long an endpoint that cannot be reached is asked again (default 60)
${endpointUsage}

Exit status: 0 all is acknowledged, or there is nothing to send; 2 wrong usage or configuration; 3 not all of it was
taken, or the endpoint does not believe the report: the file is still there.
`,
  async run(args) {
    const values = parseOptions(args, { ...endpointOptions, queue: { type: "string" }, wait: { type: "string" } });
    const { control, log } = resolveEndpoint(values);
    const waitSeconds = parseSeconds(values.wait ?? "60");
    const inMemory = queuePath(defaultWorkDir);
    const isInMemory = values.queue === undefined && existsSync(inMemory);
    const path = values.queue ?? (isInMemory ? inMemory : log === null ? null : join(log, handOverName));
    if (path === null) {
      throw new ReimageError("usage", "where is the queue? The configuration has no log", {
        hint: "name it with --queue",
      });
    }
    if (!existsSync(path)) {
      process.stdout.write(`reimage: nothing to send: ${path} is not there\n`);
      return exitStatus.done;
    }
    // A run that is under way sends its queue by itself.
    await using _lock = isInMemory ? await lockWorkDir(defaultWorkDir) : null;
    const { endpoint, machineId } = await openConfiguredEndpoint(control, isInMemory ? defaultWorkDir : null);
    requireOwn(path, machineId);
    const queue = openQueue(path);
    const verdicts: Verdict[] = [];
    const refusals: Refusal[] = [];
    const giveUp = Promise.withResolvers<false>();
    await using sender = startSender({
      queues: [queue],
      ready: Promise.resolve(),
      async deliver(batch, signal) {
        const verdict = await deliver(endpoint, machineId, batch, signal);
        if (verdict !== null) verdicts.push(verdict);
      },
      onRefused(refused) {
        refusals.push(refused);
        if (refused.kind === "lasting") giveUp.resolve(false);
      },
      onTaken: () => {},
    });
    const isSent = await Promise.race([sender.flush(waitSeconds * 1000), giveUp.promise]);
    await sender[Symbol.asyncDispose]();
    for (const { says } of verdicts) process.stdout.write(`reimage: ${says}\n`);
    if (!isSent) throw notTaken(endpoint.name, refusals.at(-1) ?? null, path);
    if (verdicts.some(({ isDoubted }) => isDoubted)) return exitStatus.refused;
    rmSync(path, { force: true });
    process.stdout.write(`reimage: ${endpoint.name} has all of it\n`);
    return exitStatus.done;
  },
};

/** @throws ReimageError `control` for the queue of another machine, whose disk this was. */
function requireOwn(path: string, machineId: string): void {
  const text = readFileSync(path, "utf8");
  const { machineId: of, waiting } = parseQueue(text);
  if (of === null || waiting.length === 0 || handedOverEntries(text, machineId).length > 0) return;
  throw new ReimageError("control", `${path} tells of machine ${of}, and this is ${machineId}`, {
    hint: "send it from that machine, or name this one as that with --machine if it is the same",
  });
}

function notTaken(name: string, refusal: Refusal | null, path: string): ReimageError {
  const why = refusal === null ? "has not answered yet" : refusal.message;
  return new ReimageError("control", `${name} ${why}; ${path} is kept`, {
    hint: refusal?.hint ?? "try again later, or give it longer with --wait",
  });
}

export function parseSeconds(text: string): number {
  if (/^[0-9]{1,6}$/.test(text)) return Number(text);
  throw new ReimageError("usage", `--wait ${text}: expected a whole number of seconds`, { hint: "see --help" });
}
