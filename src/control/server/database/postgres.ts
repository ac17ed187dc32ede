/** PostgreSQL, for several serve processes on one database. */
import { Kysely, PostgresDialect, type PostgresPoolClient, type PostgresQueryResult } from "kysely";
import { DatabaseError, Pool, types } from "pg";
import { ReimageError } from "../../../errors.ts";
import { storable } from "./many.ts";
import type { Tables } from "./tables.ts";

/** Connections of one process. */
const CONNECTIONS = 8;
const CONNECT_MILLISECONDS = 5000;
/** PostgreSQL itself ends a statement that takes longer. */
const STATEMENT_MILLISECONDS = 8000;
/** A connection without an answer for so long is given up. */
const ANSWER_MILLISECONDS = 10_000;
const INT8 = 20;

/** The pool for `url`; connects with the first query. @param onError is told when an idle connection breaks. */
export function openPostgres(url: string, onError: (error: Error) => void): { db: Kysely<Tables>; pool: Pool } {
  const pool = new Pool({
    connectionString: url,
    max: CONNECTIONS,
    connectionTimeoutMillis: CONNECT_MILLISECONDS,
    statement_timeout: STATEMENT_MILLISECONDS,
    query_timeout: ANSWER_MILLISECONDS,
    keepAlive: true,
    // Times and sizes are below 2^53.
    types: { getTypeParser: (oid, format) => (oid === INT8 ? Number : types.getTypeParser(oid, format as "text")) },
  });
  pool.on("error", onError); // a connection that breaks while nobody uses it; the next query opens another
  const dialect = new PostgresDialect({ pool: { connect: () => connect(pool), end: () => pool.end() } });
  return { db: new Kysely<Tables>({ dialect }), pool };
}

/** A connection that is used no more once it has broken, or given no answer, and whose end nobody has to wait for. */
async function connect(pool: Pool): Promise<PostgresPoolClient> {
  const client = await pool.connect().catch((cause: unknown) => {
    throw notAnswering(cause);
  });
  let broken: Error | null = null;
  // Between two queries of a transaction there is nobody else whom the end of a connection could be told to.
  const onError = (error: Error) => {
    broken ??= error;
  };
  client.on("error", onError);

  async function query<R>(text: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<R>> {
    if (broken !== null) throw notAnswering(broken);
    try {
      const result = await client.query(text, parameters.map(storable));
      return result as unknown as PostgresQueryResult<R>;
    } catch (error) {
      if (error instanceof DatabaseError && error.severity === "ERROR") throw error;
      broken ??= error instanceof Error ? error : new Error(String(error));
      throw notAnswering(error);
    }
  }
  return {
    query: query as PostgresPoolClient["query"],
    release() {
      client.release(broken ?? undefined);
      client.removeListener("error", onError); // the pool listens again
    },
  };
}

function notAnswering(cause: unknown): ReimageError {
  return new ReimageError("unavailable", "the database does not answer", { cause, hint: "try again in a while" });
}
