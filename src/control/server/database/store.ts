/** The endpoint's memory: reading, and writing in transactions that lock, audit and tell of what they change. */
import { type Kysely, sql, type Transaction } from "kysely";
import { asStoreError, isCollision } from "./failures.ts";
import { createFeed, type Feed, type FeedTransport } from "./feed.ts";
import { createGroupCommit, type Outcome } from "./group-commit.ts";
import { isOneOf } from "./many.ts";
import { migrate } from "./migrations.ts";
import { openPostgres } from "./postgres.ts";
import { openPostgresTransport } from "./postgres-transport.ts";
import { openSqlite } from "./sqlite.ts";
import type { MachineRow, Tables, TokenRow } from "./tables.ts";

export type Dialect = "sqlite" | "postgres";

/** Who does something, for the audit: `admin:anna`, `machine:<id>`, `facade:luna`, `serve`. */
export interface Actor {
  readonly name: string;
  readonly address: string | null;
}

/** A transaction. */
export interface WriteScope {
  readonly db: Transaction<Tables>;
  readonly nowMs: number;
  readonly actor: Actor;
  readonly dialect: Dialect;
  /** Reads a machine and keeps it, or its name where there is none, from every other transaction; all that changes a machine's fate begins with it. */
  lockMachine(id: string): Promise<MachineRow | null>;
  /** As `lockMachine` for several, in the order given, which must be ascending; returns the ids of those that there are. */
  lockMachines(ids: readonly string[]): Promise<readonly string[]>;
  /** Tells those who watch, after the commit. */
  changed(machineId: string): void;
  audit(action: string, object: string, detail?: Readonly<Record<string, unknown>>): Promise<void>;
}

export interface Store extends AsyncDisposable {
  readonly dialect: Dialect;
  /** For reading. */
  readonly db: Kysely<Tables>;
  readonly feed: Feed;
  /**
   * The token with this SHA-256, as it is now; null: there is none. What is asked at the same time is asked in one query.
   * @throws ReimageError `unavailable`
   */
  findToken(sha256: string): Promise<TokenRow | null>;
  /** The endpoint's clock, in milliseconds since the epoch. */
  now(): number;
  /**
   * Runs a transaction: all of it happens, durably, or nothing. It may be run again after a collision with another process,
   * so it must do nothing but use the database.
   * @throws what `run` throws; ReimageError `unavailable` where the database does not answer or takes nothing more.
   */
  write<T>(actor: Actor, run: (scope: WriteScope) => Promise<T>): Promise<T>;
}

export interface StoreOptions {
  /** The data directory, for SQLite. */
  readonly dataDir: string;
  /** `postgres://…`; null: SQLite in `dataDir`. */
  readonly databaseUrl: string | null;
  /** Told of what breaks without anybody waiting for it. */
  readonly onError: (error: unknown) => void;
  readonly now?: () => number;
}

/** @throws ReimageError `database` */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { dataDir, databaseUrl, onError, now = Date.now } = options;
  const dialect: Dialect = databaseUrl === null ? "sqlite" : "postgres";
  await using stack = new AsyncDisposableStack();
  const { db, pool } =
    databaseUrl === null ? { db: openSqlite(dataDir), pool: null } : openPostgres(databaseUrl, onError);
  stack.defer(() => db.destroy());
  await migrate(db, dialect);
  const transport: FeedTransport | null = pool === null ? null : stack.use(openPostgresTransport(pool, onError));
  const feed = createFeed(transport);
  const kept = stack.move();

  async function once<T>(actor: Actor, run: (scope: WriteScope) => Promise<T>): Promise<T> {
    const changed = new Set<string>();
    const result = await db.transaction().execute(async (trx) => {
      const scope: WriteScope = {
        db: trx,
        nowMs: now(),
        actor,
        dialect,
        async lockMachine(id) {
          let query = trx.selectFrom("machines").selectAll().where("id", "=", id);
          if (dialect === "postgres") query = query.forNoKeyUpdate(); // SQLite has one transaction at a time anyway
          const found = await query.executeTakeFirst();
          if (found !== undefined || dialect !== "postgres") return found ?? null;
          // There is no row to lock: of several that are about to make it, the others wait, and see it.
          await sql`select pg_advisory_xact_lock(hashtextextended(${id}, 0))`.execute(trx);
          return (await query.executeTakeFirst()) ?? null;
        },
        async lockMachines(ids) {
          let query = trx
            .selectFrom("machines")
            .select("id")
            .where(isOneOf(dialect, "id", ids))
            .orderBy("id");
          if (dialect === "postgres") query = query.forNoKeyUpdate();
          return (await query.execute()).map(({ id }) => id);
        },
        changed: (machineId) => changed.add(machineId),
        async audit(action, object, detail = {}) {
          const entry = { at: now(), actor: actor.name, address: actor.address, action, object };
          await trx
            .insertInto("audit")
            .values({ ...entry, detail: JSON.stringify(detail) })
            .execute();
        },
      };
      return await run(scope);
    });
    if (changed.size > 0) feed.publish([...changed]);
    return result;
  }

  return {
    dialect,
    db,
    feed,
    now,
    findToken: createGroupCommit(
      (hashes) => findTokens(db, dialect, hashes),
      MOST_TOKENS_A_QUERY,
      GATHER_TOKENS_MILLISECONDS,
    ),
    async write(actor, run) {
      for (let tries = 1; ; tries += 1) {
        try {
          return await once(actor, run);
        } catch (error) {
          if (isCollision(error) && tries < MOST_TRIES) continue;
          throw asStoreError(error);
        }
      }
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

const MOST_TRIES = 5;
const MOST_TOKENS_A_QUERY = 256;
const GATHER_TOKENS_MILLISECONDS = 4;

async function findTokens(
  db: Kysely<Tables>,
  dialect: Dialect,
  hashes: readonly string[],
): Promise<Outcome<TokenRow | null>[]> {
  const query = db
    .selectFrom("tokens")
    .selectAll()
    .where(isOneOf(dialect, "secret_sha256", [...new Set(hashes)]));
  const rows = await query.execute().catch((error: unknown) => {
    throw asStoreError(error);
  });
  const found = new Map(rows.map((row) => [row.secret_sha256, row]));
  return hashes.map((hash) => ({ result: found.get(hash) ?? null }));
}
