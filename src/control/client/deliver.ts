/** One batch as a request, and what its answer means for what was sent. */
import { abortAnswerSchema, eventReceiptSchema, type ReportMessage, reportReceiptSchema } from "../protocol/run.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Batch } from "./entries.ts";
import { Refusal } from "./refusal.ts";

/** What the endpoint said to something that it took. */
export interface Verdict {
  readonly runId: string;
  /** In words, for the log. */
  readonly says: string;
  /** It took note, and does not believe it. */
  readonly isDoubted: boolean;
}

/**
 * Sends a batch to where machine `machineId` speaks.
 * @returns what the endpoint said of a report or an abort; null for events
 * @throws Refusal
 */
export async function deliver(
  endpoint: Endpoint,
  machineId: string,
  batch: Batch,
  signal?: AbortSignal,
): Promise<Verdict | null> {
  const machine = `/machines/${machineId}`;
  if (batch.kind === "events") {
    const { body } = await endpoint.post(`${machine}/events`, batch.message, signal);
    const receipt = eventReceiptSchema.safeParse(body);
    // Whoever answers something else has stored nothing: a proxy, a wrong address.
    if (!receipt.success || receipt.data.lastSeq < lastSeqOf(batch)) throw notAnEndpoint();
    return null;
  }
  const { runId } = batch.message;
  if (batch.kind === "report") return await deliverReport(endpoint, machine, batch.message, signal);
  const { body } = await endpoint.post(`${machine}/abort-reinstall`, batch.message, signal);
  const answer = abortAnswerSchema.safeParse(body);
  if (!answer.success) throw notAnEndpoint();
  return { runId, says: `the abort of run ${runId} was taken: ${answer.data.next}`, isDoubted: false };
}

async function deliverReport(
  endpoint: Endpoint,
  machine: string,
  message: ReportMessage,
  signal?: AbortSignal,
): Promise<Verdict> {
  const { runId } = message;
  try {
    const { body } = await endpoint.post(`${machine}/report`, message, signal);
    const receipt = reportReceiptSchema.safeParse(body);
    if (!receipt.success) throw notAnEndpoint();
    const { verdict, reason } = receipt.data;
    const because = reason === null ? "" : ` (${reason})`;
    return { runId, says: `the report of run ${runId} is ${verdict}${because}`, isDoubted: verdict === "unverified" };
  } catch (thrown) {
    // It has the report, and saying it again proves no more.
    if (!(thrown instanceof Refusal) || thrown.status !== 422) throw thrown;
    return {
      runId,
      says: `the report of run ${runId} is not believed: the endpoint ${thrown.message}`,
      isDoubted: true,
    };
  }
}

function lastSeqOf(batch: Batch & { kind: "events" }): number {
  return batch.message.events.at(-1)?.seq ?? 0;
}

function notAnEndpoint(): Refusal {
  return new Refusal("lasting", 404, "gave an answer that is not a control endpoint's", {
    hint: "control.url must be the address of reimage serve, without /api/v1; is there a proxy in between?",
  });
}
