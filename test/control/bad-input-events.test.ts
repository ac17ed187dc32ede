/** Events out of order, doubled, from the future; of two runs at once, and by way of two endpoints on one database. */
import { expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import type { Machine } from "../../src/control/protocol/machine.ts";
import type { EventReceipt, Run, WireEvent } from "../../src/control/protocol/run.ts";
import { eachDatabase, event, type TestServe } from "../support/control-server.ts";
import { createRandom, type Random } from "../support/random.ts";

const endless = { perSecond: 1e6, burst: 1e6 };
const limits = { machine: endless };

async function eventsOf(serve: TestServe, runId: string): Promise<WireEvent[]> {
  return (await serve.must<{ events: WireEvent[] }>("GET", `/runs/${runId}/events?limit=5000`)).events;
}

/** Batches that hold all of `events`, some of them twice, in any order. */
function shuffled(events: readonly WireEvent[], random: Random): WireEvent[][] {
  const doubled = [...events, ...events.filter(() => random.chance(0.5))];
  for (let n = doubled.length - 1; n > 0; n -= 1) {
    const other = random.below(n + 1);
    [doubled[n], doubled[other]] = [doubled[other] as WireEvent, doubled[n] as WireEvent];
  }
  const batches: WireEvent[][] = [];
  while (doubled.length > 0) batches.push(doubled.splice(0, 1 + random.below(9)));
  return batches;
}

const told = (run: string) => (n: number) => event(n + 1, { type: "step", message: `${run} says ${n + 1}` });

eachDatabase("events", (open, dialect) => {
  test("out of order, doubled and interleaved: each is there once, as it was sent", async () => {
    await using serve = await open({ limits });
    const machine = await serve.enrol();
    const random = createRandom(11);
    const runs = [randomUUID(), randomUUID()].map((runId) => ({
      runId,
      events: Array.from({ length: 60 }, (_, n) => told(runId)(n)),
    }));
    const batches = runs.flatMap(({ runId, events }) =>
      shuffled(events, random).map((batch) => ({ runId, events: batch })),
    );
    batches.sort(() => random.below(3) - 1);
    for (let n = 0; n < batches.length; n += 5) {
      const answers = await Promise.all(batches.slice(n, n + 5).map((batch) => machine.post("events", batch)));
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    }
    for (const { runId, events } of runs) {
      expect(await eventsOf(serve, runId)).toEqual(events);
      expect(await serve.must<Run>("GET", `/runs/${runId}`)).toMatchObject({ lastSeq: 60, machineId: machine.id });
    }
  });

  test("the first word counts: an event that is sent again with other words changes nothing", async () => {
    await using serve = await open({ limits });
    const machine = await serve.enrol();
    const runId = randomUUID();
    const first = [event(1, { type: "step", message: "first" })];
    await machine.post("events", { runId, events: first });
    const again = [event(1, { type: "step", message: "second" }), event(1, { type: "run-failed", reason: "third" })];
    expect((await machine.post("events", { runId, events: again })).body).toEqual({ lastSeq: 1 });
    expect(await eventsOf(serve, runId)).toEqual(first);
    expect(await serve.must<Run>("GET", `/runs/${runId}`)).toMatchObject({ outcome: null });
  });

  test("a jump of the numbers, and any clock: kept as it is; what is not a number is refused whole", async () => {
    await using serve = await open({ limits });
    const machine = await serve.enrol();
    const runId = randomUUID();
    const times = ["9999-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "+275760-09-13T00:00:00Z", "yesterday", ""];
    const events = times.map((time, n) => ({ seq: 1 + n * 1e9, time, type: "step", message: "x" }));
    events.push({ seq: Number.MAX_SAFE_INTEGER, time: "0000-00-00", type: "step", message: "x" });
    const answer = await machine.post("events", { runId, events });
    expect(answer.body).toEqual({ lastSeq: Number.MAX_SAFE_INTEGER } satisfies EventReceipt);
    expect(await eventsOf(serve, runId)).toEqual(events);
    // What comes after the jump is late, and is kept.
    const late = [event(7, { type: "target-state", state: "partial" })];
    expect((await machine.post("events", { runId, events: late })).status).toBe(200);
    const { lastSeenAt, run } = await serve.must<Machine>("GET", `/machines/${machine.id}`);
    expect(run).toMatchObject({ id: runId, target: "partial" });
    expect(Math.abs(Date.parse(lastSeenAt ?? "") - Date.now())).toBeLessThan(60_000); // by the endpoint's clock
    const wrong = [0, -1, 1.5, 2 ** 53, 1e300, "1", null];
    for (const seq of wrong) {
      const batch = [event(8, { type: "step" }), { ...event(1, { type: "step" }), seq }];
      expect((await machine.post("events", { runId, events: batch })).status).toBe(400);
    }
    expect(await eventsOf(serve, runId)).toHaveLength(times.length + 2);
  });

  test("another machine's run is not written to, and its machine is not harmed", async () => {
    await using serve = await open({ limits });
    const [owner, other] = [await serve.enrol(), await serve.enrol()];
    const runId = randomUUID();
    await owner.post("events", { runId, events: [event(1, { type: "step" })] });
    const harm = [event(2, { type: "target-state", state: "complete" }), event(3, { type: "run-failed", reason: "x" })];
    // Together with the owner's, so that one transaction holds both.
    const [mine, theirs] = await Promise.all([
      owner.post("events", { runId, events: [event(4, { type: "step" })] }),
      other.post("events", { runId, events: harm }),
    ]);
    expect([mine.status, theirs.status]).toEqual([200, 403]);
    const target = { state: "complete" };
    const words = [
      await other.post("abort-reinstall", { runId, target, reason: "x" }),
      await other.post("instructions", { runId, bootInfo: null, isDiskNamed: true }),
    ];
    expect(words.map(({ status }) => status)).toEqual([403, 403]);
    expect((await eventsOf(serve, runId)).map(({ seq }) => seq)).toEqual([1, 4]);
    expect(await serve.must<Run>("GET", `/runs/${runId}`)).toMatchObject({ target: "untouched", outcome: null });
    expect(await serve.must<Machine>("GET", `/machines/${other.id}`)).toMatchObject({ run: null });
  });

  test("two machines that begin the same run at the same time: it becomes one's, whole", async () => {
    await using serve = await open({ limits });
    await using second =
      dialect === "postgres" ? await open({ limits, databaseUrl: serve.databaseUrl, dataDir: serve.dataDir }) : null;
    const [one, two] = [await serve.enrol(), await serve.enrol()];
    for (let n = 0; n < 20; n += 1) {
      const runId = randomUUID();
      const path = (id: string) => `/machines/${id}/events`;
      const say = (who: string, seq: number) => ({ runId, events: [event(seq, { type: "step", message: who })] });
      const answers = await Promise.all([
        serve.api("POST", path(one.id), say("one", 1), one.token),
        (second ?? serve).api("POST", path(two.id), say("two", 2), two.token),
      ]);
      const [owner] = answers.flatMap(({ status }, index) => (status === 200 ? [[one, two][index]] : []));
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 403]);
      expect(await serve.must<Run>("GET", `/runs/${runId}`)).toMatchObject({ machineId: owner?.id ?? "" });
      expect((await eventsOf(serve, runId)).map(({ message }) => message)).toEqual([owner === one ? "one" : "two"]);
    }
  });

  test("the same batches through two endpoints at once: nothing is lost, nothing is there twice", async () => {
    await using serve = await open({ limits });
    await using second =
      dialect === "postgres" ? await open({ limits, databaseUrl: serve.databaseUrl, dataDir: serve.dataDir }) : null;
    const random = createRandom(13);
    const machines = await Promise.all(Array.from({ length: 4 }, () => serve.enrol()));
    const runs = machines.map((machine) => {
      const runId = randomUUID();
      return { machine, runId, events: Array.from({ length: 80 }, (_, n) => told(runId)(n)) };
    });
    const send = async (to: TestServe, { machine, runId, events }: (typeof runs)[number]) => {
      for (const batch of shuffled(events, random)) {
        const path = `/machines/${machine.id}/events`;
        expect(await to.api("POST", path, { runId, events: batch }, machine.token)).toMatchObject({ status: 200 });
      }
    };
    const endpoints = [serve, second ?? serve];
    await Promise.all(runs.flatMap((run) => endpoints.map((to) => send(to, run))));
    for (const { runId, events } of runs) {
      expect(await eventsOf(serve, runId)).toEqual(events);
      for (const to of endpoints) expect(await to.must<Run>("GET", `/runs/${runId}`)).toMatchObject({ lastSeq: 80 });
    }
    for (const to of endpoints) expect(to.log.filter((line) => !line.includes("admin token"))).toEqual([]);
  });
});
