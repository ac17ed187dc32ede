/** The tokens of people and programs, and the sessions of the dashboard. */
import { randomBytes } from "node:crypto";
import { type Kysely, sql } from "kysely";
import { ReimageError } from "../../../errors.ts";
import type { Role } from "../../protocol/enrolment.ts";
import type { Actor, Store, WriteScope } from "../database/store.ts";
import type { Tables } from "../database/tables.ts";
import { isSameSha256, makeToken, sha256Of } from "../security/tokens.ts";
import { isoTime } from "./time.ts";

/** A number of our own among PostgreSQL's advisory locks. */
const FIRST_ADMIN_LOCK = 0x61646d696e;
const SESSION_SECONDS = 12 * 3600;

/** What is told of a token. */
export interface TokenInfo {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly createdAt: string;
  readonly expiresAt: string | null;
}

export async function listTokens(store: Store): Promise<TokenInfo[]> {
  const rows = await store.db
    .selectFrom("tokens")
    .selectAll()
    .where("kind", "=", "admin")
    .orderBy("created_at")
    .execute();
  return rows.flatMap(({ id, name, role, created_at, expires_at }) =>
    role === null ? [] : [{ id, name, role, createdAt: isoTime(created_at), expiresAt: isoTime(expires_at) }],
  );
}

/** Makes a token; it is told here and never again. */
export async function createToken(
  store: Store,
  actor: Actor,
  request: { readonly name: string; readonly role: Role; readonly expiresInSeconds: number | null },
): Promise<TokenInfo & { readonly token: string }> {
  const made = makeToken("admin");
  return await store.write(actor, (scope) => insertAdmin(scope, made, request));
}

/**
 * Makes the token that all others are made with, where there is no admin yet; of several processes that start at once, one
 * does.
 * @param keep puts it where it is found, before anybody can use it: a token that was lost in a crash would lock everybody
 * out. May be called again.
 */
export async function createFirstAdmin(store: Store, actor: Actor, keep: (token: string) => void): Promise<boolean> {
  if (await hasAdmin(store.db)) return false;
  const made = makeToken("admin");
  return await store.write(actor, async (scope) => {
    if (scope.dialect === "postgres") await sql`select pg_advisory_xact_lock(${FIRST_ADMIN_LOCK})`.execute(scope.db);
    if (await hasAdmin(scope.db)) return false;
    keep(made.token);
    await insertAdmin(scope, made, { name: "first", role: "admin", expiresInSeconds: null });
    return true;
  });
}

async function insertAdmin(
  { db, nowMs, audit }: WriteScope,
  { token, sha256 }: ReturnType<typeof makeToken>,
  request: { readonly name: string; readonly role: Role; readonly expiresInSeconds: number | null },
): Promise<TokenInfo & { readonly token: string }> {
  const id = randomBytes(8).toString("hex");
  const { name, role, expiresInSeconds } = request;
  const expires_at = expiresInSeconds === null ? null : nowMs + expiresInSeconds * 1000;
  await db
    .insertInto("tokens")
    .values({
      id,
      kind: "admin",
      name,
      role,
      machine_id: null,
      secret_sha256: sha256,
      state: "active",
      created_at: nowMs,
      expires_at,
    })
    .execute();
  await audit("token.created", `token:${id}`, { name, role });
  return { id, name, role, createdAt: isoTime(nowMs), expiresAt: isoTime(expires_at), token };
}

/** Revokes a token, and the sessions that were opened with it. @throws ReimageError `not-found` */
export async function revokeToken(store: Store, actor: Actor, id: string): Promise<void> {
  await store.write(actor, async ({ db, audit }) => {
    const row = await db
      .selectFrom("tokens")
      .selectAll()
      .where("id", "=", id)
      .where("kind", "=", "admin")
      .executeTakeFirst();
    if (row === undefined) throw new ReimageError("not-found", `there is no token ${id}`);
    await db.deleteFrom("tokens").where("id", "=", id).execute();
    await db.deleteFrom("tokens").where("kind", "=", "session").where("id", "like", `${id}-%`).execute();
    await audit("token.revoked", `token:${id}`, { name: row.name });
  });
}

/** Whether anybody could administer this endpoint. */
async function hasAdmin(db: Kysely<Tables>): Promise<boolean> {
  const query = db.selectFrom("tokens").select("id").where("kind", "=", "admin").where("role", "=", "admin");
  return (await query.executeTakeFirst()) !== undefined;
}

/** Opens a session of the dashboard for the owner of `token`. @throws ReimageError `unauthorized` */
export async function openSession(
  store: Store,
  actor: Actor,
  token: string,
): Promise<{ readonly session: string; readonly name: string; readonly role: Role; readonly seconds: number }> {
  const { token: session, sha256 } = makeToken("session");
  const given = sha256Of(token);
  return await store.write(actor, async ({ db, nowMs, audit }) => {
    await db.deleteFrom("tokens").where("kind", "=", "session").where("expires_at", "<", nowMs).execute();
    const owner = await db
      .selectFrom("tokens")
      .selectAll()
      .where("secret_sha256", "=", given)
      .where("kind", "=", "admin")
      .executeTakeFirst();
    const isSame = owner !== undefined && isSameSha256(owner.secret_sha256, given);
    const isCurrent = isSame && (owner.expires_at === null || nowMs < owner.expires_at);
    if (owner === undefined || !isCurrent || owner.role === null) {
      throw new ReimageError("unauthorized", "this token is not accepted");
    }
    const longest = nowMs + SESSION_SECONDS * 1000;
    const expires_at = Math.min(owner.expires_at ?? longest, longest);
    const id = `${owner.id}-${randomBytes(8).toString("hex")}`;
    const { name, role } = owner;
    await db
      .insertInto("tokens")
      .values({
        id,
        kind: "session",
        name,
        role,
        machine_id: null,
        secret_sha256: sha256,
        state: "active",
        created_at: nowMs,
        expires_at,
      })
      .execute();
    await audit("session.opened", `token:${owner.id}`, { name });
    return { session, name, role, seconds: Math.floor((expires_at - nowMs) / 1000) };
  });
}

export async function closeSession(store: Store, actor: Actor, session: string): Promise<void> {
  await store.write(actor, async ({ db }) => {
    await db
      .deleteFrom("tokens")
      .where("kind", "=", "session")
      .where("secret_sha256", "=", sha256Of(session))
      .execute();
  });
}
