/** The feed over PostgreSQL's LISTEN and NOTIFY (sql-notify: a payload is shorter than 8000 bytes). */
import { setTimeout as sleep } from "node:timers/promises";
import type { Pool, PoolClient } from "pg";
import type { FeedListener, FeedTransport } from "./feed.ts";

const CHANNEL = "reimage_machines";
/** UUIDs in one payload, with room to spare. */
const IDS_A_PAYLOAD = 150;
/** What changes within this time is sent together. */
const GATHER_MILLISECONDS = 200;
const RECONNECT_MILLISECONDS = 1000;

/** Listens on a connection of its own, and opens it again for as long as it lives. */
export function openPostgresTransport(pool: Pool, onError: (error: unknown) => void): FeedTransport & AsyncDisposable {
  const stop = new AbortController();
  const gathered = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | null = null;
  let listener: FeedListener = () => {};

  async function sendGathered(): Promise<void> {
    timer = null;
    const ids = [...gathered];
    gathered.clear();
    for (let i = 0; i < ids.length; i += IDS_A_PAYLOAD) {
      const payload = ids.slice(i, i + IDS_A_PAYLOAD).join(" ");
      await pool.query("select pg_notify($1, $2)", [CHANNEL, payload]);
    }
  }

  async function listenOnce(): Promise<void> {
    const client: PoolClient = await pool.connect();
    const ended = new Promise<void>((resolve) => {
      client.on("error", () => resolve()); // listenOnce is called again
      client.on("end", () => resolve());
      stop.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    try {
      client.on("notification", ({ payload }) => listener((payload ?? "").split(" ").filter((id) => id !== "")));
      await client.query(`listen ${CHANNEL}`);
      listener(null); // whatever was sent while nobody listened
      await ended;
    } finally {
      client.release(true);
    }
  }

  async function listenForever(): Promise<void> {
    while (!stop.signal.aborted) {
      await listenOnce().catch(onError);
      if (!stop.signal.aborted) await sleep(RECONNECT_MILLISECONDS, undefined, { signal: stop.signal }).catch(() => {});
    }
  }
  const listening = listenForever();

  return {
    send(machineIds) {
      for (const id of machineIds) gathered.add(id);
      timer ??= setTimeout(() => void sendGathered().catch(onError), GATHER_MILLISECONDS);
    },
    receive: (to) => {
      listener = to;
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      if (timer !== null) clearTimeout(timer);
      await listening;
    },
  };
}
