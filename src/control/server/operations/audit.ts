/** Who changed what, read. */
import type { AuditEntry } from "../../protocol/audit.ts";
import type { Store } from "../database/store.ts";
import { isoTime } from "./time.ts";

/** The newest first. @param before only entries older than this one; null: from the newest on. */
export async function listAudit(
  store: Store,
  query: { readonly object: string | null; readonly before: number | null; readonly limit: number },
): Promise<AuditEntry[]> {
  let select = store.db.selectFrom("audit").selectAll().orderBy("id", "desc").limit(query.limit);
  if (query.before !== null) select = select.where("id", "<", query.before);
  if (query.object !== null) select = select.where("object", "=", query.object);
  const rows = await select.execute();
  return rows.map(({ at, detail, ...row }) => ({ ...row, at: isoTime(at), detail: JSON.parse(detail) }));
}
