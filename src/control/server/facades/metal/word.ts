/** What a machine says in this protocol, and what becomes of it: each is one transaction. */
import { ReimageError } from "../../../../errors.ts";
import type { WireBootInfo } from "../../../protocol/machine.ts";
import type { Actor, Store, WriteScope } from "../../database/store.ts";
import type { ProvisioningEvent } from "../../decisions/provisioning.ts";
import { type NetbootAnswer, takeBoot } from "../../operations/boot.ts";
import { findMachine } from "../../operations/machine-list.ts";
import { abortRunWithin, instructWithin, observeWithin, takeReportWithin } from "../../operations/machine-word.ts";
import { type OpenReinstall, readOpenReinstall } from "../../operations/open-reinstall.ts";
import { type SentProvisioningEvent, takeProvisioningEvent } from "../../operations/provisioning.ts";
import { requireMachine } from "../../operations/reinstalls.ts";
import { type Attempt, abortedRun, attemptOf, reportedRun } from "./attempt.ts";
import type { Installed } from "./bodies.ts";
import { bootInfoAfter, knownBootInfo } from "./boot-info.ts";
import { changeMetalFacts, parseMetalFacts } from "./facts.ts";

/** A machine boots from the network. @returns null for one that nobody knows: nothing is changed. */
export async function bootMachine(store: Store, actor: Actor, mac: string): Promise<NetbootAnswer | null> {
  return await store.write(actor, async (scope) => {
    const machineId = await findMachine(scope, mac);
    if (machineId === null) return null;
    const answer = await takeBoot(scope, machineId);
    if (answer.isReinstall) await noteBoot(scope, machineId);
    return answer;
  });
}

/**
 * The machine is in the reimager and wants to be told what to do: an attempt begins.
 * @returns why it must not write; null: it shall be reinstalled.
 */
export async function beginAttempt(scope: WriteScope, machineId: string): Promise<string | null> {
  const { open, attempt, machine } = await readAttempt(scope, machineId);
  if (open === null || attempt === null) return "no reinstallation of this machine is requested";
  const isAnother = attempt.hasBooted || open.facts.state === "waiting"; // the run before has ended
  const runId = isAnother ? attempt.nextRunId : (attempt.ownRunId ?? attempt.nextRunId);
  const bootInfo = knownBootInfo(machine);
  const request = { runId, bootInfo, installed: null, isDiskNamed: false };
  const instruction = await instructWithin(scope, machineId, request, false);
  await changeMetalFacts(scope, machineId, { bootedFor: null });
  if (instruction.action === "reinstall") return null;
  return "reason" in instruction ? instruction.reason : "it is installed already; only the report is missing";
}

/** Success: the mark falls, in one transaction with everything else. Said again, it changes nothing. */
export async function takeInstalled(
  store: Store,
  actor: Actor,
  machineId: string,
  installed: Installed,
): Promise<void> {
  await store.write(actor, async (scope) => {
    const { open, attempt } = await readAttempt(scope, machineId);
    if (open === null || attempt === null) return await refuseUnmarked(scope, machineId);
    const imageId = open.facts.image.id;
    const runId = reportedRun(attempt);
    const report = {
      schemaVersion: 1 as const,
      outcome: "success" as const,
      stage: null,
      target: "complete" as const,
      reason: null,
      image: { id: imageId, sha256: "" },
      readback: null,
    };
    const bootInfo = bootInfoAfter(imageId, installed);
    const { verdict, reason } = await takeReportWithin(scope, machineId, { runId, report, bootInfo }, "facade");
    if (verdict !== "verified") throw new ReimageError("conflict", reason ?? "this report changes nothing any more");
  });
}

/** The report that comes twice, or after an abort, is known; a machine that was never to be reinstalled has nothing to report. */
async function refuseUnmarked(scope: WriteScope, machineId: string): Promise<void> {
  if ((await lastRunId(scope, machineId)) !== null) return;
  throw new ReimageError("conflict", "no reinstallation of this machine was requested");
}

/** The machine says that it has failed. What to do about it, its abort says. */
export async function takeFailure(store: Store, actor: Actor, machineId: string, message: string): Promise<void> {
  await store.write(actor, async (scope) => {
    const { open, attempt } = await readAttempt(scope, machineId);
    if (open === null || attempt === null) return;
    const runId = abortedRun(attempt, open);
    const report = {
      schemaVersion: 1 as const,
      outcome: "failed" as const,
      stage: null,
      target: open.facts.target,
      reason: message === "" ? "it gave no reason" : message,
      image: null,
      readback: null,
    };
    await takeReportWithin(scope, machineId, { runId, report, bootInfo: null });
  });
}

/** @returns what the old OS is started with; null: nothing is told, and the machine boots again. */
export async function abortReinstall(
  store: Store,
  actor: Actor,
  machineId: string,
  isWiped: boolean,
): Promise<WireBootInfo | null> {
  return await store.write(actor, async (scope) => {
    const { open, attempt, machine } = await readAttempt(scope, machineId);
    const runId = open === null || attempt === null ? await lastRunId(scope, machineId) : abortedRun(attempt, open);
    if (runId === null) return isWiped ? null : knownBootInfo(machine); // nothing there to abort
    const target = {
      state: isWiped ? ("partial" as const) : ("untouched" as const),
      bytesWritten: null,
      firstLba: null,
    };
    const reason = isWiped ? "aborted after the disk was wiped" : "aborted before the disk was touched";
    const answer = await abortRunWithin(scope, machineId, { runId, target, reason });
    await changeMetalFacts(scope, machineId, { bootedFor: null });
    if (answer.next !== "boot-old-os") return null;
    return answer.bootInfo ?? knownBootInfo(await requireMachine(scope, machineId));
  });
}

/** Takes an event, and what it says of a reinstallation. */
export async function takeEvent(scope: WriteScope, machineId: string, sent: SentProvisioningEvent): Promise<void> {
  await takeProvisioningEvent(scope, machineId, sent);
  if (sent.event === "PXE Booting" || sent.event === "Preparing") await noteBoot(scope, machineId);
  if (sent.event === "Installing") {
    const { attempt } = await readAttempt(scope, machineId);
    if (attempt?.hasBooted === true && (await beginAttempt(scope, machineId)) !== null) return;
  }
  const { open, attempt } = await readAttempt(scope, machineId);
  if (open === null || attempt === null || attempt.ownRunId === null) return;
  const target = targetAfter(sent.event, open);
  if (target !== null) await observeWithin(scope, machineId, attempt.ownRunId, target);
}

/** metal-hammer says Installing when it has wiped the disk, and Booting New Kernel when it has reported. */
function targetAfter(event: ProvisioningEvent, { facts }: OpenReinstall): "partial" | "complete" | null {
  if (event === "Installing") return "partial";
  // The old OS phones home too, but not once its disk was wiped.
  const isUp = event === "Booting New Kernel" || event === "Phoned Home";
  return isUp && facts.state === "writing" ? "complete" : null;
}

/** It boots for its reinstallation: what it says next is another run's than what it has said. */
async function noteBoot(scope: WriteScope, machineId: string): Promise<void> {
  const open = await readOpenReinstall(scope.db, machineId);
  if (open !== null) await changeMetalFacts(scope, machineId, { bootedFor: open.row.id });
}

async function readAttempt(scope: WriteScope, machineId: string) {
  const machine = await requireMachine(scope, machineId);
  const open = await readOpenReinstall(scope.db, machineId);
  const attempt: Attempt | null = open === null ? null : attemptOf(open, parseMetalFacts(machine.facade).bootedFor);
  return { machine, open, attempt };
}

/** The run of the last reinstallation that has ended. */
async function lastRunId(scope: WriteScope, machineId: string): Promise<string | null> {
  const query = scope.db.selectFrom("reinstalls").select("run_id").where("machine_id", "=", machineId);
  const row = await query.orderBy("created_at", "desc").limit(1).executeTakeFirst();
  return row?.run_id ?? null;
}
