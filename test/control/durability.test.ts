/** What serve has acknowledged outlives serve: killed under load again and again, on both databases. */
import { afterAll, describe, expect, test } from "bun:test";
import { temporaryDirectory } from "../support/loop-device.ts";
import { openPostgresCluster, type PostgresCluster } from "../support/postgres.ts";
import { ask, enrolMachine, firstToken, must, type ServeProcess, startServe } from "../support/serve-process.ts";
import { expectAllStored, startSenders, storedEvents } from "../support/serve-process-senders.ts";

const MACHINES = 24;
const KILLS = 5;
const MOST_BATCHES_BEFORE_KILL = 150;

let cluster: Promise<PostgresCluster> | null = null;
afterAll(async () => void (await (await cluster)?.[Symbol.asyncDispose]()));

async function databaseOf(dialect: "sqlite" | "postgres"): Promise<string | null> {
  if (dialect === "sqlite") return null;
  cluster ??= openPostgresCluster();
  return await (await cluster).createDatabase();
}

/** An operator who declares images as fast as they are taken, until he is told to end. */
function startOperator(api: () => string, token: string) {
  const declared: string[] = [];
  let isEnding = false;
  const done = (async () => {
    for (let i = 1; !isEnding; i += 1) {
      const id = `image-${i}`;
      const answer = await ask("PUT", `${api()}/images/${id}`, token, { id, description: "of an operator" });
      if (answer !== null && answer.status < 300) declared.push(id);
      await Bun.sleep(5);
    }
  })();
  return {
    declared,
    async [Symbol.asyncDispose]() {
      isEnding = true;
      await done;
    },
  };
}

describe.each(["sqlite", "postgres"] as const)("serve on %s", (dialect) => {
  test("killed at any moment under load, it has everything that it acknowledged, and nothing twice", async () => {
    await using temporary = await temporaryDirectory();
    const dataDir = temporary.dir;
    const databaseUrl = await databaseOf(dialect);
    let serve: ServeProcess = await startServe({ dataDir, databaseUrl });
    try {
      const admin = firstToken(dataDir);
      const machines = await Promise.all(Array.from({ length: MACHINES }, () => enrolMachine(serve.api, admin)));
      await using senders = startSenders(machines, () => serve.api);
      await using operator = startOperator(() => serve.api, admin);
      for (let kill = 0; kill < KILLS; kill += 1) {
        await senders.taken(1 + Math.floor(Math.random() * MOST_BATCHES_BEFORE_KILL));
        await serve.kill();
        const acknowledged = senders.all.map((sender) => sender.acknowledged());
        const declared = [...operator.declared];
        serve = await startServe({ dataDir, databaseUrl, port: serve.port });
        for (const [index, { runId, events }] of senders.all.entries()) {
          if (acknowledged[index] === 0) continue;
          const stored = await storedEvents(serve.api, admin, runId);
          expect(stored.length).toBeGreaterThanOrEqual(acknowledged[index] ?? 0);
          expect(stored).toEqual(events.slice(0, stored.length));
        }
        const { images } = await must<{ images: { id: string }[] }>("GET", `${serve.api}/images`, admin);
        expect(images.map(({ id }) => id)).toEqual(expect.arrayContaining(declared));
      }
      await senders.finish();
      await expectAllStored(serve.api, admin, senders);
      expect([...senders.statuses.keys()].filter((status) => status !== 200 && status !== 0 && status !== 503)).toEqual(
        [],
      );
      expect(operator.declared.length).toBeGreaterThan(0);
    } finally {
      await serve[Symbol.asyncDispose]();
    }
  }, 120_000);
});
