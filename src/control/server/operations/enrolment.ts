/** How machines get their tokens: once, by a code, or by an operator who approves what was discovered. */
import { ReimageError } from "../../../errors.ts";
import type { Enrol, EnrolAnswer } from "../../protocol/enrolment.ts";
import type { Actor, Store, WriteScope } from "../database/store.ts";
import { isSameSha256, makeToken, sha256Of } from "../security/tokens.ts";
import { fingerprintOf } from "./machine-list.ts";
import { putMachine } from "./machines.ts";
import { requireMachine } from "./reinstalls.ts";
import { isoTime } from "./time.ts";

/** So many machines may wait for approval: whoever can reach the endpoint can make some. */
const MOST_WAITING = 2000;

/** Makes a code that one machine can be enrolled with, once. It is told here and never again. */
export async function createEnrolmentCode(
  store: Store,
  actor: Actor,
  options: { readonly machineId: string | null; readonly expiresInSeconds: number },
): Promise<{ code: string; expiresAt: string }> {
  const { token: code, sha256 } = makeToken("code");
  return await store.write(actor, async ({ db, nowMs, audit }) => {
    const expires_at = nowMs + options.expiresInSeconds * 1000;
    const { machineId: machine_id } = options;
    await db
      .insertInto("enrolment_codes")
      .values({ code_sha256: sha256, machine_id, created_by: actor.name, created_at: nowMs, expires_at })
      .execute();
    await audit("enrolment-code.created", machine_id === null ? "fleet" : `machine:${machine_id}`);
    return { code, expiresAt: isoTime(expires_at) };
  });
}

/**
 * Takes a machine's token in: at once with a code, else to be approved. The same request again is answered the same.
 * @throws ReimageError `unauthorized` for a code that is wrong, used, expired or another machine's; `conflict` where a
 * network card is another machine's; `too-many`.
 */
export async function enrol(store: Store, actor: Actor, request: Enrol): Promise<EnrolAnswer> {
  return await store.write(actor, async (scope) => {
    const { machineId, tokenSha256, macs, serial, hardware, code } = request;
    const fingerprint = fingerprintOf(tokenSha256);
    const machine = await scope.lockMachine(machineId);
    const same = await scope.db
      .selectFrom("tokens")
      .selectAll()
      .where("secret_sha256", "=", tokenSha256)
      .executeTakeFirst();
    if (same !== undefined) {
      // Whoever knows the SHA-256 only learns that the request was repeated.
      if (same.machine_id !== machineId) throw new ReimageError("conflict", "this token is another machine's");
      if (same.state === "active") return { machineId, state: "approved", fingerprint };
    }
    if (code !== undefined) await useCode(scope, code, machineId);
    else if (machine === null) await refuseCrowd(scope);
    // What an unknown caller says changes nothing of a machine that is known.
    if (machine === null) await putMachine(scope, machineId, { state: "discovered", macs, serial, hardware });
    if (code !== undefined) {
      await putMachine(scope, machineId, { state: "approved", macs, serial, hardware, address: scope.actor.address });
      await replaceTokens(scope, machineId, tokenSha256, "active");
    } else if (same === undefined) await replaceTokens(scope, machineId, tokenSha256, "pending");
    const state = code === undefined ? "discovered" : "approved";
    if (code === undefined && same !== undefined) return { machineId, state, fingerprint }; // it waits, and asks again
    await scope.audit(`machine.${state}`, `machine:${machineId}`, { fingerprint });
    scope.changed(machineId);
    return { machineId, state, fingerprint };
  });
}

/**
 * Lets the token count that waits, and no other of this machine any more.
 * @param fingerprint what the operator has compared with what the machine shows.
 * @throws ReimageError `not-found`; `conflict` where the fingerprint is another one.
 */
export async function approve(store: Store, actor: Actor, machineId: string, fingerprint: string): Promise<void> {
  await store.write(actor, async (scope) => {
    await requireMachine(scope, machineId);
    const pending = await scope.db
      .selectFrom("tokens")
      .selectAll()
      .where("machine_id", "=", machineId)
      .where("state", "=", "pending")
      .executeTakeFirst();
    if (pending === undefined) throw new ReimageError("not-found", `machine ${machineId} does not wait for approval`);
    if (fingerprintOf(pending.secret_sha256) !== fingerprint) {
      throw new ReimageError(
        "conflict",
        `machine ${machineId} has the fingerprint ${fingerprintOf(pending.secret_sha256)}`,
        {
          hint: "compare it with what the machine shows; if it differs, somebody else has asked in its name",
        },
      );
    }
    await replaceTokens(scope, machineId, pending.secret_sha256, "active");
    await putMachine(scope, machineId, { state: "approved" });
    await scope.audit("machine.approved", `machine:${machineId}`, { fingerprint });
  });
}

async function useCode(scope: WriteScope, code: string, machineId: string): Promise<void> {
  const sha256 = sha256Of(code);
  let query = scope.db.selectFrom("enrolment_codes").selectAll().where("code_sha256", "=", sha256);
  query = scope.dialect === "postgres" ? query.forUpdate() : query;
  const row = await query.executeTakeFirst();
  const isGood =
    row !== undefined &&
    isSameSha256(row.code_sha256, sha256) &&
    row.used_at === null &&
    scope.nowMs < row.expires_at &&
    (row.machine_id === null || row.machine_id === machineId);
  if (!isGood) {
    throw new ReimageError("unauthorized", "this enrolment code is not accepted", {
      hint: "it is good once, for a limited time, and perhaps for one machine only: ask for a new one",
    });
  }
  await scope.db
    .updateTable("enrolment_codes")
    .set({ used_at: scope.nowMs, used_by: machineId })
    .where("code_sha256", "=", sha256)
    .execute();
}

/** Before a machine is made that only says that it is there. @throws ReimageError `too-many` */
export async function refuseCrowd(scope: WriteScope): Promise<void> {
  const { waiting } = await scope.db
    .selectFrom("machines")
    .select((select) => select.fn.countAll<number>().as("waiting"))
    .where("state", "=", "discovered")
    .executeTakeFirstOrThrow();
  if (waiting >= MOST_WAITING) throw new ReimageError("too-many", "too many machines wait for approval");
}

async function replaceTokens(
  scope: WriteScope,
  machineId: string,
  sha256: string,
  state: "active" | "pending",
): Promise<void> {
  const { db } = scope;
  let old = db.deleteFrom("tokens").where("machine_id", "=", machineId);
  if (state === "pending") old = old.where("state", "=", "pending"); // the active one counts until the other is approved
  await old.execute();
  await db
    .insertInto("tokens")
    .values({
      id: sha256.slice(0, 16),
      kind: "machine",
      name: machineId,
      role: null,
      machine_id: machineId,
      secret_sha256: sha256,
      state,
      created_at: scope.nowMs,
      expires_at: null,
    })
    .execute();
}
