/** SQLite in trouble: full, read-only, damaged, of the future, or taken. */

import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { databaseFile } from "../../src/control/server/database/sqlite.ts";
import { mountSmallDisk } from "../support/full-disk.ts";
import { temporaryDirectory } from "../support/loop-device.ts";
import { ask, enrolMachine, firstToken, must, startServe } from "../support/serve-process.ts";
import { expectAllStored, startSenders } from "../support/serve-process-senders.ts";

const DISK_BYTES = 8 << 20;
const ROUNDS = 3;

/** A data directory as serve leaves it. */
async function usedDirectory() {
  const temporary = await temporaryDirectory();
  const serve = await startServe({ dataDir: temporary.dir });
  await enrolMachine(serve.api, firstToken(temporary.dir));
  await serve[Symbol.asyncDispose]();
  return temporary;
}

/** Waits until serve answers with `status`. */
async function until(api: string, status: number): Promise<void> {
  while ((await ask("GET", `${api}/health`, null))?.status !== status) await Bun.sleep(20);
}

describe("SQLite", () => {
  test("on a full disk says so, keeps what it has acknowledged, and goes on when there is room", async () => {
    await using disk = await mountSmallDisk(DISK_BYTES);
    await using serve = await startServe({ dataDir: disk.dir });
    const admin = firstToken(disk.dir);
    const machines = await Promise.all([1, 2, 3].map(() => enrolMachine(serve.api, admin)));
    await using senders = startSenders(machines, () => serve.api);
    const declared: string[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      await senders.taken(10);
      disk.fill();
      const { id, refusal } = await declareUntilRefused(serve.api, admin, declared);
      expect(refusal).toMatchObject({ code: "unavailable", hint: expect.stringContaining("full") });
      const before = senders.statuses.get(503) ?? 0;
      while ((senders.statuses.get(503) ?? 0) === before) await Bun.sleep(10); // the machines notice it too
      expect(await imagesOf(serve.api, admin)).toEqual([...declared].sort()); // can be read all the same
      disk.makeRoom();
      await must("PUT", `${serve.api}/images/${id}`, admin, { id });
      declared.push(id);
    }
    expect(await imagesOf(serve.api, admin)).toEqual([...declared].sort());
    await senders.taken(10);
    await senders.finish();
    await expectAllStored(serve.api, admin, senders);
    expect(senders.withoutRetryAfter()).toBe(0);
    expect([...senders.statuses.keys()].sort()).toEqual([200, 503]);
    expect(serve.log()).not.toContain("unhandled");
  }, 60_000);

  test("on a read-only disk is refused, and is whole afterwards", async () => {
    await using disk = await mountSmallDisk(DISK_BYTES);
    const serve = await startServe({ dataDir: disk.dir });
    const admin = firstToken(disk.dir);
    const machine = await enrolMachine(serve.api, admin);
    await serve.kill();
    await disk.setReadOnly(true);
    await expect(startServe({ dataDir: disk.dir })).rejects.toThrow(/only be read/);
    await disk.setReadOnly(false);
    await using again = await startServe({ dataDir: disk.dir });
    expect(await must<object>("GET", `${again.api}/machines/${machine.id}`, admin)).toMatchObject({ id: machine.id });
  }, 60_000);

  test("belongs to one process: a second one is told what to do", async () => {
    await using temporary = await temporaryDirectory();
    await using serve = await startServe({ dataDir: temporary.dir });
    await expect(startServe({ dataDir: temporary.dir })).rejects.toThrow(/several serve processes need PostgreSQL/);
    await until(serve.api, 200);
  }, 60_000);

  test("of a newer version is refused, and left as it is", async () => {
    await using temporary = await usedDirectory();
    const path = join(temporary.dir, databaseFile);
    const database = new Database(path);
    database.run("insert into kysely_migration (name, timestamp) values ('999', '2099-01-01T00:00:00.000Z')");
    database.close();
    const before = readFileSync(path);
    await expect(startServe({ dataDir: temporary.dir })).rejects.toThrow(/newer version/);
    expect(readFileSync(path).equals(before)).toBe(true);
  }, 60_000);

  const damages: Record<string, (path: string) => void> = {
    "a file of something else": (path) => writeFileSync(path, "this is no database\n".repeat(1000)),
    "a file that was cut": (path) => truncateSync(path, Math.floor(statSync(path).size / 2)),
    "a file whose first page is garbage": (path) => {
      const bytes = readFileSync(path);
      bytes.fill(0xa5, 100, 4096);
      writeFileSync(path, bytes);
    },
  };
  test.each(Object.keys(damages))(
    "%s is refused, and left as it is",
    async (name) => {
      await using temporary = await usedDirectory();
      const path = join(temporary.dir, databaseFile);
      damages[name]?.(path);
      const before = readFileSync(path);
      await expect(startServe({ dataDir: temporary.dir })).rejects.toThrow(/backup/);
      expect(readFileSync(path).equals(before)).toBe(true);
    },
    60_000,
  );
});

/** Declares images until the disk has taken as much as it can. */
async function declareUntilRefused(api: string, admin: string, declared: string[]) {
  for (;;) {
    const id = `image-${declared.length}`;
    const answer = await ask("PUT", `${api}/images/${id}`, admin, { id, description: "d".repeat(1000) });
    if (answer?.status === 503) return { id, refusal: answer.body };
    if (answer === null || answer.status >= 300) throw new Error(`${answer?.status} ${JSON.stringify(answer?.body)}`);
    declared.push(id);
  }
}

async function imagesOf(api: string, admin: string): Promise<string[]> {
  const { images } = await must<{ images: { id: string }[] }>("GET", `${api}/images`, admin);
  return images.map(({ id }) => id).sort();
}
