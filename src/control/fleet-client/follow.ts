/** The events of a run as they come, over connections that break. */
import { setTimeout as sleep } from "node:timers/promises";
import { asReimageError, type ReimageError } from "../../errors.ts";
import { runEventsSchema } from "../protocol/feed.ts";
import type { WireEvent } from "../protocol/run.ts";
import { parseMessage, pauseMs } from "../view/stream-text.ts";
import type { FleetClient } from "./client.ts";

/** The server sends something every 15 s; so long a silence is the end of the connection. */
const SILENCE_MS = 45_000;
const LARGEST_MESSAGE = 64 << 20;

/**
 * New events of a run, in order and each once, from the first on. Goes on for ever: whoever listens knows the end.
 * @param onTrouble is told that the connection broke; another is opened by itself.
 * @throws ReimageError what asking again would not change: the token, the run.
 */
export async function* followRun(
  client: FleetClient,
  runId: string,
  onTrouble: (error: ReimageError) => void,
): AsyncGenerator<readonly WireEvent[]> {
  let lastSeq = 0;
  for (let failures = 0; ; ) {
    const abort = new AbortController();
    const silence = setTimeout(() => abort.abort(), SILENCE_MS);
    try {
      for await (const block of blocksOf(await client.stream(`/stream?run=${runId}`, abort.signal), silence)) {
        failures = 0;
        const message = parseMessage(block);
        if (message?.event !== "run-events") continue;
        // A new connection begins with the first event again.
        const { events } = runEventsSchema.parse(JSON.parse(message.data));
        const fresh = events.filter(({ seq }) => seq > lastSeq);
        lastSeq = fresh.at(-1)?.seq ?? lastSeq;
        if (fresh.length > 0) yield fresh;
      }
    } catch (thrown) {
      const error = asReimageError(thrown);
      const isLasting = ["unauthorized", "forbidden", "not-found", "invalid"].includes(error.code);
      if (isLasting) throw error;
      if (failures === 0) onTrouble(error);
    } finally {
      clearTimeout(silence);
      abort.abort();
    }
    failures += 1;
    await sleep(pauseMs(failures, Math.random()));
  }
}

/** The blocks of an event stream, which empty lines divide. @param silence is put off by each piece. */
async function* blocksOf(body: ReadableStream<Uint8Array>, silence: NodeJS.Timeout): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of body) {
    silence.refresh();
    rest += decoder.decode(piece, { stream: true });
    if (rest.length > LARGEST_MESSAGE) throw new Error("a message has no end");
    const blocks = rest.split("\n\n");
    rest = blocks.pop() ?? "";
    yield* blocks;
  }
}
