/** PostgreSQL, for several serve processes on one database. */
import { Kysely, PostgresDialect } from "kysely";
import { Pool, types } from "pg";
import type { Tables } from "./tables.ts";

/** Connections of one process. */
const CONNECTIONS = 8;
const INT8 = 20;

/** The pool for `url`; connects with the first query. @param onError is told when an idle connection breaks. */
export function openPostgres(url: string, onError: (error: Error) => void): { db: Kysely<Tables>; pool: Pool } {
  const pool = new Pool({
    connectionString: url,
    max: CONNECTIONS,
    connectionTimeoutMillis: 5000,
    statement_timeout: 20_000,
    // Times and sizes are below 2^53.
    types: { getTypeParser: (oid, format) => (oid === INT8 ? Number : types.getTypeParser(oid, format as "text")) },
  });
  pool.on("error", onError); // a connection that breaks while nobody uses it; the next query opens another
  return { db: new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) }), pool };
}
