/** Who asks: found by the token, and what he may do. */
import { ReimageError } from "../../../errors.ts";
import { type Role, roles } from "../../protocol/enrolment.ts";
import type { Store } from "../database/store.ts";
import { isSameSha256, sha256Of } from "./tokens.ts";

export type Principal =
  | { readonly kind: "admin"; readonly name: string; readonly role: Role }
  | { readonly kind: "machine"; readonly machineId: string };

/** What a route asks of who calls it; `machine`: the token of the machine that the path names. */
export type Access = Role | "machine" | "anyone";

/**
 * The one whom `token` belongs to.
 * @param kind where the token came from: a session's is good in a cookie only, all others in a header only.
 * @throws ReimageError `unauthorized`, alike for an unknown, an expired and a waiting token.
 */
export async function findPrincipal(store: Store, token: string, kind: "header" | "cookie"): Promise<Principal> {
  const sha256 = sha256Of(token);
  const row = await store.findToken(sha256);
  const isCurrent = row !== null && (row.expires_at === null || store.now() < row.expires_at);
  const isRightPlace = (row?.kind === "session") === (kind === "cookie");
  if (row === null || !isCurrent || !isRightPlace || !isSameSha256(row.secret_sha256, sha256)) throw wrongToken();
  if (row.state !== "active") throw wrongToken("an operator has to approve this machine first");
  if (row.kind === "machine") {
    if (row.machine_id === null) throw wrongToken();
    return { kind: "machine", machineId: row.machine_id };
  }
  if (row.role === null) throw wrongToken();
  return { kind: "admin", name: row.name, role: row.role };
}

function wrongToken(hint = "check the token: it may have been revoked, or have expired"): ReimageError {
  return new ReimageError("unauthorized", "this token is not accepted", { hint });
}

/** @throws ReimageError `forbidden` @param machineId what the path names, if anything. */
export function requireAccess(principal: Principal, access: Access, machineId: string | null): void {
  if (access === "anyone") return;
  if (principal.kind === "machine") {
    if (access === "machine" && machineId === principal.machineId) return;
    throw new ReimageError("forbidden", "the token of a machine is good for that machine's own reports only");
  }
  if (access === "machine") throw new ReimageError("forbidden", "only the machine itself may do this");
  if (roles.indexOf(principal.role) < roles.indexOf(access)) {
    throw new ReimageError("forbidden", `this needs the role ${access}; ${principal.name} is ${principal.role}`);
  }
}
