/** Tells those who watch which machines have changed; over all serve processes on one database. */

/** Carries the ids to the other processes. */
export interface FeedTransport {
  send(machineIds: readonly string[]): void;
  /** Calls back with what any process has sent, this one included; `null`: some may have been missed. */
  receive(listener: (machineIds: readonly string[] | null) => void): void;
}

/** Ids of machines that changed; null: all of them may have. */
export type FeedListener = (machineIds: readonly string[] | null) => void;

export interface Feed {
  publish(machineIds: readonly string[]): void;
  /** @returns a function that ends it. */
  subscribe(listener: FeedListener): () => void;
}

/** @param transport null where this is the only process. */
export function createFeed(transport: FeedTransport | null): Feed {
  const listeners = new Set<FeedListener>();
  const deliver: FeedListener = (machineIds) => {
    for (const listener of listeners) listener(machineIds);
  };
  transport?.receive(deliver);
  return {
    publish: (machineIds) => (transport === null ? deliver(machineIds) : transport.send(machineIds)),
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
