/**
 * Many values in one parameter, so that a statement has the same text for 1 row and for 1000: it is compiled once. An array
 * for PostgreSQL, JSON for SQLite (json1: json_each, ->>).
 */
import { type Kysely, type RawBuilder, sql } from "kysely";
import type { Tables } from "./tables.ts";

type Dialect = "sqlite" | "postgres";
type Value = string | number | null;

/** Whether `column` is one of the texts. */
export function isOneOf(dialect: Dialect, column: string, texts: readonly string[]): RawBuilder<boolean> {
  if (dialect === "postgres") return sql`${sql.ref(column)} = any(${texts}::text[])`;
  return sql`${sql.ref(column)} in (select value from json_each(${JSON.stringify(texts)}))`;
}

/**
 * `insert into TABLE (COLUMNS) select ROWS`; what happens to a row that is there already is for the caller to add.
 * @param columns their types, by their names.
 */
export function insertRows<Column extends string>(
  dialect: Dialect,
  table: string,
  columns: Readonly<Record<Column, "text" | "bigint">>,
  rows: readonly Readonly<Record<Column, Value>>[],
): RawBuilder<unknown> {
  const names = Object.keys(columns) as Column[];
  const into = sql`insert into ${sql.table(table)} (${sql.join(names.map((name) => sql.ref(name)))})`;
  if (dialect === "postgres") {
    const arrays = names.map((name) => sql`${rows.map((row) => row[name])}::${sql.raw(columns[name])}[]`);
    return sql`${into} select * from unnest(${sql.join(arrays)})`;
  }
  const values = names.map((_, index) => sql`value ->> ${sql.raw(String(index))}`);
  const texts = JSON.stringify(rows.map((row) => names.map((name) => storable(row[name]))));
  return sql`${into} select ${sql.join(values)} from json_each(${texts}) where true`; // or `on conflict` is ambiguous
}

/**
 * Executes statements of which none needs to see what another has changed: for PostgreSQL as one (`with`), since each way
 * there and back takes its time.
 */
export async function executeTogether(
  db: Kysely<Tables>,
  dialect: Dialect,
  statements: readonly RawBuilder<unknown>[],
): Promise<void> {
  const last = statements.at(-1);
  if (last === undefined) return;
  if (dialect === "sqlite") {
    for (const statement of statements) await statement.execute(db);
    return;
  }
  const before = statements.slice(0, -1).map((statement, index) => sql`${sql.ref(`s${index}`)} as (${statement})`);
  await (before.length === 0 ? last : sql`with ${sql.join(before)} ${last}`).execute(db);
}

/** PostgreSQL's texts hold no NUL, and UTF-8 no half of a surrogate pair: U+FFFD stands for them (pure). */
export function storable(value: unknown): unknown {
  if (typeof value === "string") return value.replaceAll("\0", "\ufffd").toWellFormed();
  return Array.isArray(value) ? value.map(storable) : value;
}
