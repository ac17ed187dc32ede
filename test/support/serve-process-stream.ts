/** A stream of serve's changes, as a dashboard would read it. */
import type { MachinesChanged } from "../../src/control/protocol/feed.ts";

export interface ChangeStream extends AsyncDisposable {
  readonly isOpen: () => boolean;
  /** Waits for the next message of this kind that is meant. */
  next(event: "machines", isMeant: (data: MachinesChanged) => boolean): Promise<void>;
}

interface Waiting {
  readonly event: string;
  readonly isMeant: (data: MachinesChanged) => boolean;
  readonly resolve: () => void;
}

/** Opens it, and waits for its first message. */
export async function openStream(url: string, token: string): Promise<ChangeStream> {
  const stop = new AbortController();
  const response = await fetch(url, { headers: { authorization: `Bearer ${token}` }, signal: stop.signal });
  if (response.status !== 200 || response.body === null) throw new Error(`no stream: ${response.status}`);
  const waiting = new Set<Waiting>();
  const opened = Promise.withResolvers<void>();
  let isOpen = true;

  function take(message: string): void {
    const event = /^event: (.*)$/m.exec(message)?.[1];
    const data = /^data: (.*)$/m.exec(message)?.[1];
    if (event === undefined || data === undefined) return;
    opened.resolve();
    for (const each of waiting) {
      if (each.event !== event || !each.isMeant(JSON.parse(data))) continue;
      waiting.delete(each);
      each.resolve();
    }
  }
  async function read(body: ReadableStream<Uint8Array>): Promise<void> {
    let text = "";
    const decoder = new TextDecoder();
    try {
      for await (const chunk of body) {
        text += decoder.decode(chunk, { stream: true });
        const messages = text.split("\n\n");
        text = messages.pop() ?? "";
        for (const message of messages) take(message);
      }
    } catch {
      // closed, by us or by serve
    }
    isOpen = false;
  }
  const reading = read(response.body);
  await opened.promise;
  return {
    isOpen: () => isOpen,
    next: (event, isMeant) => new Promise((resolve) => waiting.add({ event, isMeant, resolve })),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await reading;
    },
  };
}
