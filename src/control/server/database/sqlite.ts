/** SQLite in one file, by the driver that is built into the runtime. */
import { Database } from "bun:sqlite";
import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { Kysely, SqliteDialect, type SqliteStatement } from "kysely";
import { ReimageError } from "../../../errors.ts";
import { hintFor } from "./failures.ts";
import type { Tables } from "./tables.ts";

/** Statements that are kept prepared. */
const MOST_STATEMENTS = 200;

/** The database's file in the data directory. */
export const databaseFile = "reimage.sqlite";

/**
 * Opens, or makes, the database in `directory`. What is committed survives a power cut (`synchronous = full`). The file is
 * locked for this process alone.
 * @throws ReimageError `database`
 */
export function openSqlite(directory: string): Kysely<Tables> {
  const path = join(directory, databaseFile);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const database = new Database(path, { create: true, strict: true });
    chmodSync(path, 0o600);
    // WAL in exclusive mode needs no shared memory, and a second process gets SQLITE_BUSY instead of half the truth.
    for (const pragma of [
      "locking_mode = exclusive",
      "journal_mode = wal",
      "synchronous = full",
      "foreign_keys = on",
    ]) {
      database.run(`pragma ${pragma}`);
    }
    database.run("begin exclusive; commit"); // takes the lock now, not at the first write
    return new Kysely<Tables>({ dialect: new SqliteDialect({ database: adapt(database) }) });
  } catch (cause) {
    const isBusy = cause instanceof Error && "code" in cause && cause.code === "SQLITE_BUSY";
    throw new ReimageError("database", `the database ${path} cannot be opened`, {
      cause,
      hint: isBusy
        ? "another process has it open: several serve processes need PostgreSQL (DATABASE_URL)"
        : (hintFor(cause) ?? "check the directory given by --data, its owner and the free space"),
    });
  }
}

/** What Kysely's dialect expects of a driver. */
function adapt(database: Database) {
  const prepared = new Map<string, SqliteStatement & { finalize(): void }>();

  function prepare(text: string): SqliteStatement {
    const known = prepared.get(text);
    if (known !== undefined) return known;
    const statement = database.prepare<unknown, never[]>(text);
    const adapted = {
      reader: statement.columnNames.length > 0,
      all: (parameters: readonly unknown[]) => statement.all(...(parameters as never[])),
      run(parameters: readonly unknown[]) {
        // A full disk ends a transaction at once. What is thrown is that, and not that it cannot be rolled back.
        if (text === "rollback" && !database.inTransaction) return { changes: 0, lastInsertRowid: 0 };
        return statement.run(...(parameters as never[]));
      },
      iterate: (parameters: readonly unknown[]) => statement.iterate(...(parameters as never[])),
      finalize: () => statement.finalize(),
    };
    const [oldest] = prepared.size < MOST_STATEMENTS ? [] : prepared;
    if (oldest !== undefined) {
      prepared.delete(oldest[0]);
      oldest[1].finalize();
    }
    prepared.set(text, adapted);
    return adapted;
  }
  return {
    prepare,
    close() {
      for (const statement of prepared.values()) statement.finalize(); // the file stays locked while one is left
      database.close();
    },
  };
}
