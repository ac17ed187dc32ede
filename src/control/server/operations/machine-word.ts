/** What a machine says of its run, and what it is answered: instructions, report, abort. Each is one transaction. */
import { ReimageError } from "../../../errors.ts";
import type { TargetState } from "../../../report/events.ts";
import type {
  AbortAnswer,
  AbortMessage,
  Instruction,
  InstructionRequest,
  ReportMessage,
  ReportReceipt,
} from "../../protocol/run.ts";
import { abortAnswerSchema } from "../../protocol/run.ts";
import type { Actor, Store, WriteScope } from "../database/store.ts";
import type { MachineRow, RunRow } from "../database/tables.ts";
import { decideAbort, decideInstruction, decideObserved, decideReport } from "../decisions/reinstall.ts";
import { moreTouched } from "../decisions/reinstall-facts.ts";
import type { Trust } from "../decisions/verify-report.ts";
import { applyTransition, noteLastRun, parseStoredBootInfo, readOpenReinstall } from "./open-reinstall.ts";
import { requireMachine } from "./reinstalls.ts";
import { requireOwnRuns } from "./run-owner.ts";

/** What the machine shall do. @throws ReimageError `not-found`, `forbidden` for another machine's run. */
export async function instruct(
  store: Store,
  actor: Actor,
  machineId: string,
  request: InstructionRequest,
): Promise<Instruction> {
  return await store.write(actor, (scope) => instructWithin(scope, machineId, request));
}

/** As `instruct`, in the caller's transaction. @param canWait see `decideInstruction`. */
export async function instructWithin(
  scope: WriteScope,
  machineId: string,
  request: InstructionRequest,
  canWait = true,
): Promise<Instruction> {
  const machine = await requireMachine(scope, machineId);
  await noteSeen(scope, machine);
  await ownRun(scope, machine, request.runId);
  if (machine.locked === 1) return { action: "boot-local", reason: "this machine is locked" };
  const open = await readOpenReinstall(scope.db, machineId);
  const { instruction, transition } = decideInstruction(open?.facts ?? null, request, scope.nowMs, canWait);
  if (open !== null && transition !== null) await applyTransition(scope, machine, open, transition);
  if (open === null && request.bootInfo !== null) {
    const known = { boot_info: JSON.stringify(request.bootInfo), image_id: request.bootInfo.image_id || null };
    await scope.db.updateTable("machines").set(known).where("id", "=", machineId).execute();
  }
  return instruction;
}

/** Takes a report. Sent again, it is answered the same and changes nothing. @throws ReimageError `not-found`, `forbidden` */
export async function takeReport(
  store: Store,
  actor: Actor,
  machineId: string,
  message: ReportMessage,
): Promise<ReportReceipt> {
  return await store.write(actor, (scope) => takeReportWithin(scope, machineId, message));
}

/** As `takeReport`, in the caller's transaction. @param trust what a success is measured by. */
export async function takeReportWithin(
  scope: WriteScope,
  machineId: string,
  message: ReportMessage,
  trust: Trust = "readback",
): Promise<ReportReceipt> {
  const machine = await requireMachine(scope, machineId);
  await noteSeen(scope, machine);
  const run = await ownRun(scope, machine, message.runId);
  // A run that has failed may be started again and succeed; everything else that comes twice is a repetition.
  const isRepeated = run?.outcome === "success" || message.report.outcome === "failed";
  if (run?.verdict != null && isRepeated) return { verdict: run.verdict, reason: run.reason };
  const open = await readOpenReinstall(scope.db, machineId);
  const { verdict, reason, transition } = decideReport(open?.facts ?? null, message, scope.nowMs, trust);
  const { report } = message;
  const target = moreTouched(report.target, run?.target ?? "untouched");
  const told = {
    ended_at: scope.nowMs,
    stage: report.stage,
    target,
    outcome: report.outcome,
    verdict,
    reason: reason ?? report.reason,
    image_id: report.image?.id ?? null,
    report: JSON.stringify(report),
  };
  await upsertRun(scope, machine, message.runId, told);
  const proven = verdict === "verified" ? { imageId: report.image?.id ?? "", bootInfo: message.bootInfo } : null;
  if (open !== null && transition !== null) await applyTransition(scope, machine, open, transition, proven);
  else if (proven !== null) {
    const bootInfo = proven.bootInfo === null ? null : JSON.stringify(proven.bootInfo);
    const known = { image_id: proven.imageId, boot_info: bootInfo };
    await scope.db.updateTable("machines").set(known).where("id", "=", machineId).execute();
  }
  scope.changed(machineId);
  await scope.audit("run.reported", `run:${message.runId}`, { machineId, outcome: report.outcome, verdict, reason });
  return { verdict, reason };
}

/** Takes an abort. The same run's abort again is answered the same. @throws ReimageError `not-found`, `forbidden` */
export async function abortRun(
  store: Store,
  actor: Actor,
  machineId: string,
  message: AbortMessage,
): Promise<AbortAnswer> {
  return await store.write(actor, (scope) => abortRunWithin(scope, machineId, message));
}

/** As `abortRun`, in the caller's transaction. */
export async function abortRunWithin(
  scope: WriteScope,
  machineId: string,
  message: AbortMessage,
): Promise<AbortAnswer> {
  const machine = await requireMachine(scope, machineId);
  await noteSeen(scope, machine);
  const run = await ownRun(scope, machine, message.runId);
  if (run?.abort_answer != null) return abortAnswerSchema.parse(JSON.parse(run.abort_answer));
  const open = await readOpenReinstall(scope.db, machineId);
  const observed = run?.target ?? "untouched";
  const bootInfo = parseStoredBootInfo(machine.boot_info);
  const { answer, transition } = decideAbort(open?.facts ?? null, message, observed, bootInfo, scope.nowMs);
  const told = {
    ended_at: run?.ended_at ?? scope.nowMs,
    outcome: run?.outcome ?? ("failed" as const),
    reason: run?.verdict == null ? (run?.reason ?? message.reason) : run.reason, // a report is the last word
    target: moreTouched(message.target.state, observed),
    abort_answer: JSON.stringify(answer),
  };
  if (open !== null && transition !== null) await applyTransition(scope, machine, open, transition);
  await upsertRun(scope, machine, message.runId, told);
  const { target, reason } = message;
  await scope.audit("run.aborted", `run:${message.runId}`, { machineId, target, reason, answer: answer.next });
  return answer;
}

/** What another protocol's event says of the disk of the attempt under way, in the caller's transaction. */
export async function observeWithin(
  scope: WriteScope,
  machineId: string,
  runId: string,
  target: TargetState,
): Promise<void> {
  const machine = await requireMachine(scope, machineId);
  await noteSeen(scope, machine);
  const run = await ownRun(scope, machine, runId);
  const open = await readOpenReinstall(scope.db, machineId);
  if (open === null) return;
  await upsertRun(scope, machine, runId, { target: moreTouched(target, run?.target ?? "untouched") });
  const transition = decideObserved(open.facts, runId, target);
  if (transition !== null) await applyTransition(scope, machine, open, transition);
}

/** The machine has spoken, and from where. */
async function noteSeen(scope: WriteScope, { id, address }: MachineRow): Promise<void> {
  const seen = { seen_at: scope.nowMs };
  await scope.db
    .insertInto("presence")
    .values({ machine_id: id, ...seen })
    .onConflict((conflict) => conflict.column("machine_id").doUpdateSet(seen))
    .execute();
  const from = scope.actor.address;
  if (from === null || from === address) return;
  await scope.db.updateTable("machines").set({ address: from }).where("id", "=", id).execute();
}

/** @throws ReimageError `forbidden` where the run is another machine's. */
async function ownRun(scope: WriteScope, machine: MachineRow, runId: string): Promise<RunRow | null> {
  const run = await scope.db.selectFrom("runs").selectAll().where("id", "=", runId).executeTakeFirst();
  if (run !== undefined && run.machine_id !== machine.id) {
    throw new ReimageError("forbidden", `run ${runId} is not machine ${machine.id}'s`);
  }
  return run ?? null;
}

async function upsertRun(
  scope: WriteScope,
  machine: MachineRow,
  runId: string,
  values: Partial<Omit<RunRow, "id" | "machine_id">>,
): Promise<void> {
  const first = {
    id: runId,
    machine_id: machine.id,
    started_at: scope.nowMs,
    last_seq: 0,
    target: "untouched" as const,
  };
  await scope.db
    .insertInto("runs")
    .values({ ...first, ...values })
    .onConflict((conflict) => conflict.column("id").doUpdateSet(values))
    .execute();
  await requireOwnRuns(scope, [{ id: runId, machine_id: machine.id }]);
  await noteLastRun(scope, machine.id, runId);
  scope.changed(machine.id);
}
