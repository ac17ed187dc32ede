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
/** How often the listening connection is asked for a sign of life: its other end may be gone without a word. */
const LIFE_MILLISECONDS = 15_000;
/** More changes than this are not remembered one by one while nobody can be told. */
const MOST_GATHERED = 50_000;

/** Listens on a connection of its own, and opens it again for as long as it lives. */
export function openPostgresTransport(pool: Pool, onError: (error: unknown) => void): FeedTransport & AsyncDisposable {
  const stop = new AbortController();
  const gathered = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | null = null;
  let listener: FeedListener = () => {};

  async function sendGathered(): Promise<void> {
    const ids = [...gathered];
    gathered.clear();
    let againAfter = GATHER_MILLISECONDS;
    try {
      while (ids.length > 0) {
        const payload = ids.slice(0, IDS_A_PAYLOAD).join(" ");
        await pool.query("select pg_notify($1, $2)", [CHANNEL, payload]);
        ids.splice(0, IDS_A_PAYLOAD);
      }
    } catch (error) {
      // They are told of later: the other processes' connections may be whole.
      for (const id of ids) if (gathered.size < MOST_GATHERED) gathered.add(id);
      againAfter = RECONNECT_MILLISECONDS;
      onError(error);
    }
    timer = null;
    if (gathered.size > 0) sendAfter(againAfter);
  }

  function sendAfter(milliseconds: number): void {
    if (!stop.signal.aborted) timer ??= setTimeout(() => void sendGathered(), milliseconds);
  }

  async function listenOnce(): Promise<void> {
    const client: PoolClient = await pool.connect();
    const ended = Promise.withResolvers<void>();
    const end = () => ended.resolve();
    for (const event of ["error", "end"] as const) client.on(event, end); // listenOnce is called again
    stop.signal.addEventListener("abort", end, { once: true });
    const life = setInterval(() => void client.query("select 1").catch(end), LIFE_MILLISECONDS);
    try {
      client.on("notification", ({ payload }) => listener((payload ?? "").split(" ").filter((id) => id !== "")));
      await client.query(`listen ${CHANNEL}`);
      listener(null); // whatever was sent while nobody listened
      await ended.promise;
    } finally {
      clearInterval(life);
      stop.signal.removeEventListener("abort", end);
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
      sendAfter(GATHER_MILLISECONDS);
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
