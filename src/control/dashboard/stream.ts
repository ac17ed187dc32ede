/**
 * GET /stream by fetch, not by EventSource: so the endpoint's comments every 15 s are seen, and a connection that died without
 * saying so is noticed; so is what the endpoint says when it refuses.
 */

import { type Message, parseMessage, pauseMs } from "../view/stream-text.ts";
import { ApiFailure, asFailure, send } from "./api.ts";

export type Connection =
  | { readonly state: "connecting" }
  | { readonly state: "live" }
  | { readonly state: "lost"; readonly sinceMs: number; readonly retryAtMs: number; readonly failure: ApiFailure };

export interface StreamOptions {
  readonly path: string;
  /** Called for each message in its order, `hello` at each connection among them; what it throws breaks the connection. */
  readonly onMessage: (message: Message) => void | Promise<void>;
  readonly onConnection: (connection: Connection) => void;
}

/** Three comments missed. */
const SILENCE_MS = 45_000;

/** Watches until the returned function is called; connects again whenever the connection ends, until the answer is 401. */
export function watch({ path, onMessage, onConnection }: StreamOptions): () => void {
  const stop = new AbortController();
  let wake = () => {};
  const retryNow = () => wake();
  addEventListener("online", retryNow);
  stop.signal.addEventListener("abort", () => {
    removeEventListener("online", retryNow);
    wake();
  });

  async function run(): Promise<void> {
    let attempt = 0;
    let sinceMs = Date.now();
    onConnection({ state: "connecting" });
    while (!stop.signal.aborted) {
      let failure = new ApiFailure(0, { code: "unreachable", message: "the endpoint has ended the connection" });
      try {
        await readStream(path, stop.signal, async (message) => {
          await onMessage(message);
          if (message.event !== "hello" || stop.signal.aborted) return;
          attempt = 0;
          onConnection({ state: "live" });
        });
      } catch (error) {
        failure = asFailure(error);
      }
      if (stop.signal.aborted) return;
      if (attempt === 0) sinceMs = Date.now();
      attempt += 1;
      const waitMs = pauseMs(attempt, Math.random());
      onConnection({ state: "lost", sinceMs, retryAtMs: Date.now() + waitMs, failure });
      if (failure.status === 401) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitMs);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
  void run();
  return () => stop.abort();
}

async function readStream(
  path: string,
  stop: AbortSignal,
  onMessage: (message: Message) => Promise<void>,
): Promise<void> {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const response = await send(path, { signal: AbortSignal.any([stop, silence.signal]) });
    if (response.body === null) return;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      const blocks = (text + value).split(/\r?\n\r?\n/);
      text = blocks.pop() ?? "";
      for (const block of blocks) {
        const message = parseMessage(block);
        if (message !== null) await onMessage(message);
      }
    }
  } catch (error) {
    if (!silence.signal.aborted) throw error;
    throw new ApiFailure(0, { code: "unreachable", message: "the endpoint has said nothing for 45 seconds" });
  } finally {
    clearTimeout(timer);
  }
}
