/**
 * The reinstallation of a machine as a state machine (pure). The mark of a machine is an open reinstallation; it is taken
 * away by one thing only: a verified report of success, or an abort that found the disk untouched.
 *
 *     requested → running → writing → succeeded
 *                    │         ├────→ unreported (complete, the report is missing) → succeeded
 *                    │         └────→ waiting (failed; tried again later) → running … → parked (attempts used up)
 *                    └────→ aborted (untouched)
 */
import type { TargetState } from "../../../report/events.ts";
import { identifiesDisk, type ReinstallState, type WireBootInfo } from "../../protocol/machine.ts";
import type { AbortAnswer, AbortMessage, Instruction, InstructionRequest, ReportMessage } from "../../protocol/run.ts";
import { isOwn, leftBehind, mayTakeOver, nextAttempt, waitMsOf, whyTooLate } from "./attempts.ts";
import { retryAfterMs } from "./back-off.ts";
import { moreTouched, type ReinstallFacts, type Transition } from "./reinstall-facts.ts";
import { reportProblem, type Trust } from "./verify-report.ts";

/** What a machine is told that asks, and what that changes. */
export interface InstructionDecision {
  readonly instruction: Instruction;
  readonly transition: Transition | null;
}

/**
 * @param facts null: nobody wants this machine reinstalled.
 * @param canWait false: it speaks a protocol without a word for waiting; its attempts are limited all the same.
 */
export function decideInstruction(
  facts: ReinstallFacts | null,
  request: InstructionRequest,
  nowMs: number,
  canWait = true,
): InstructionDecision {
  if (facts === null) {
    const reason = "no reinstallation of this machine is requested";
    return { instruction: { action: "boot-local", reason }, transition: null };
  }
  if (facts.state === "parked") {
    const reason = `${facts.mostAttempts} attempts have failed; an operator has to look`;
    return { instruction: { action: "rescue", reason }, transition: null };
  }
  // The OS on the disk says that a run of this reinstallation has put it there: nothing is missing but the report.
  const installed = request.installed?.runId ?? null;
  if (installed !== null && isOwn(facts, installed) && !facts.disbelievedRunIds.includes(installed)) {
    const transition = change(facts, { state: "unreported", target: "complete", nextAttemptAtMs: null });
    return { instruction: { action: "report-and-boot-local", runId: installed }, transition };
  }
  if (facts.state === "unreported") {
    const runId = facts.runId;
    if (runId !== null) return { instruction: { action: "report-and-boot-local", runId }, transition: null };
  }
  if (facts.runId === request.runId && (facts.state === "running" || facts.state === "writing")) {
    return { instruction: reinstall(facts, facts.attempt), transition: null }; // asked again
  }
  const known = identifiesDisk(request.bootInfo) || request.isDiskNamed || identifiesDisk(facts.previousBootInfo);
  if (!known && facts.target === "untouched") {
    const reason = "neither image nor primary disk of the old OS is known, and no disk is named: too risky to write";
    return {
      instruction: { action: "boot-local", reason },
      transition: change(facts, { state: "aborted", runId: request.runId, reason }),
    };
  }
  if (facts.attempt >= facts.mostAttempts) return park(facts, null);
  const waitMs = waitMsOf(facts, nowMs);
  if (canWait && waitMs > 0) {
    const afterSeconds = Math.ceil(waitMs / 1000);
    const reason = `attempt ${facts.attempt} of ${facts.mostAttempts} has failed; the next one is not due yet`;
    return { instruction: { action: "wait", afterSeconds, reason }, transition: null };
  }
  const attempt = facts.attempt + 1;
  const target = leftBehind(facts.target);
  const transition = change(facts, { state: "running", target, attempt, runId: request.runId, nextAttemptAtMs: null });
  return { instruction: reinstall(facts, attempt), transition };
}

/** What the events of a run say of the disk; null where that changes nothing. */
export function decideObserved(facts: ReinstallFacts, runId: string, target: TargetState): Transition | null {
  if (target === "untouched") return null;
  if (facts.runId === runId) {
    const isFinal = facts.state === "waiting" || facts.state === "parked" || facts.state === "unreported";
    if (isFinal && !(target === "complete" && facts.state !== "unreported")) return null;
    const state = target === "complete" ? "unreported" : "writing";
    return state === facts.state && target === facts.target
      ? null
      : change(facts, { state, target, nextAttemptAtMs: null });
  }
  // It writes without asking (an offline configuration): that is an attempt too. What is told of a disk that is complete
  // already may be old; its report says which image that is.
  if (!mayTakeOver(facts, runId) || target === "complete") return null;
  return change(facts, { state: "writing", target, attempt: nextAttempt(facts), runId, nextAttemptAtMs: null });
}

/** What a report is answered, and what it changes. */
export interface ReportDecision {
  readonly verdict: "verified" | "unverified" | "recorded";
  readonly reason: string | null;
  readonly transition: Transition | null;
}

/** @param facts null: nobody wants this machine reinstalled; the report is recorded. */
export function decideReport(
  facts: ReinstallFacts | null,
  message: ReportMessage,
  nowMs: number,
  trust: Trust = "readback",
): ReportDecision {
  const { report, runId } = message;
  if (report.outcome === "success") {
    const problem = reportProblem(report, facts?.image ?? null, trust);
    if (facts === null) {
      return problem === null
        ? { verdict: "verified", reason: null, transition: null }
        : { verdict: "unverified", reason: problem, transition: null };
    }
    const late = whyTooLate(facts, runId);
    if (late !== null) return { verdict: "recorded", reason: late, transition: null };
    if (problem === null) {
      const transition = change(facts, { state: "succeeded", target: "complete", runId, nextAttemptAtMs: null });
      return { verdict: "verified", reason: null, transition };
    }
    if (facts.runId !== runId) {
      // It is not the attempt under way that fails to prove its success.
      const verdict = facts.earlierRunIds.includes(runId) ? "unverified" : "recorded";
      return { verdict, reason: problem, transition: null };
    }
    const reason = `its report says success and does not prove it: ${problem}`;
    const target = moreTouched(report.target, facts.target);
    const transition = change(facts, { state: "parked", target, nextAttemptAtMs: null, reason });
    return { verdict: "unverified", reason: problem, transition };
  }
  const reason = report.reason ?? "the run failed and gave no reason";
  if (facts === null) return { verdict: "recorded", reason, transition: null };
  return { verdict: "recorded", reason, transition: afterFailure(facts, runId, report.target, reason, nowMs) };
}

/** What an abort is answered, and what it changes. */
export interface AbortDecision {
  readonly answer: AbortAnswer;
  readonly transition: Transition | null;
}

/**
 * @param facts null: nobody wants this machine reinstalled (any more).
 * @param observed what the events of the run have said of the disk: what was touched stays touched.
 * @param bootInfo of the machine now.
 */
export function decideAbort(
  facts: ReinstallFacts | null,
  message: AbortMessage,
  observed: TargetState,
  bootInfo: WireBootInfo | null,
  nowMs: number,
): AbortDecision {
  const target = moreTouched(message.target.state, observed);
  if (facts === null || facts.foreignRunIds.includes(message.runId)) {
    if (target === "complete") return { answer: { next: "boot-new-os" }, transition: null };
    if (target === "untouched") return { answer: { next: "boot-old-os", bootInfo }, transition: null };
    const reason = "the disk is partly written, and nobody has requested that reinstallation";
    return { answer: { next: "rescue", reason }, transition: null };
  }
  if (facts.earlierRunIds.includes(message.runId)) {
    return { answer: retry(facts, nowMs), transition: null }; // a late word of an earlier attempt
  }
  const worst = moreTouched(target, facts.target);
  if (worst === "untouched") {
    const transition = change(facts, { state: "aborted", runId: message.runId, reason: message.reason });
    return { answer: { next: "boot-old-os", bootInfo: facts.previousBootInfo ?? bootInfo }, transition };
  }
  if (target === "complete") {
    const isOurs = facts.runId === message.runId;
    const transition = isOurs ? change(facts, { state: "unreported", target, nextAttemptAtMs: null }) : null;
    return { answer: { next: "boot-new-os" }, transition };
  }
  const transition = afterFailure(facts, message.runId, target, message.reason, nowMs);
  const after = { ...facts, ...transition };
  if (after.state === "unreported") return { answer: { next: "boot-new-os" }, transition };
  if (after.state === "parked") {
    return { answer: { next: "rescue", reason: transition?.reason ?? message.reason }, transition };
  }
  return { answer: retry(after, nowMs), transition };
}

/**
 * An attempt that failed with the disk touched, by itself or by one before it, waits or parks; where nobody has touched it
 * the abort of the run decides. A run that was not told to reinstall counts only if it has written all the same.
 */
function afterFailure(
  facts: ReinstallFacts,
  runId: string,
  said: TargetState,
  reason: string,
  nowMs: number,
): (Transition & { readonly reason: string }) | null {
  const isOurs = facts.runId === runId;
  if (!isOurs && (said !== "partial" || !mayTakeOver(facts, runId))) return null;
  const target = isOurs ? moreTouched(said, facts.target) : said;
  if (target === "untouched") return null;
  if (isOurs && (facts.state === "waiting" || facts.state === "parked")) return null; // counted already
  const attempt = isOurs ? facts.attempt : nextAttempt(facts);
  if (target === "complete") {
    return { ...change(facts, { state: "unreported", target, attempt, runId, nextAttemptAtMs: null }), reason };
  }
  if (attempt >= facts.mostAttempts) {
    const why = `attempt ${attempt} of ${facts.mostAttempts} has failed: ${reason}`;
    return { ...change(facts, { state: "parked", target, attempt, runId, nextAttemptAtMs: null }), reason: why };
  }
  const nextAttemptAtMs = nowMs + retryAfterMs(attempt);
  return { ...change(facts, { state: "waiting", target, attempt, runId, nextAttemptAtMs }), reason };
}

function park(facts: ReinstallFacts, why: string | null): InstructionDecision {
  const reason = why ?? `${facts.mostAttempts} attempts have failed; an operator has to look`;
  const transition = change(facts, { state: "parked", nextAttemptAtMs: null, reason });
  return { instruction: { action: "rescue", reason }, transition };
}

function reinstall(facts: ReinstallFacts, attempt: number): Instruction {
  const { id, url, sha256 } = facts.image;
  const { mostAttempts, previousBootInfo: bootInfo } = facts;
  return { action: "reinstall", attempt, mostAttempts, image: { id, url, sha256 }, bootInfo };
}

function retry(facts: Pick<ReinstallFacts, "nextAttemptAtMs" | "attempt">, nowMs: number): AbortAnswer {
  return { next: "retry", afterSeconds: Math.ceil(waitMsOf(facts, nowMs) / 1000), attempt: facts.attempt + 1 };
}

function change(facts: ReinstallFacts, to: Partial<Transition> & { state: ReinstallState }): Transition {
  const { target, attempt, runId, nextAttemptAtMs } = facts;
  return { target, attempt, runId, nextAttemptAtMs, reason: null, ...to };
}
