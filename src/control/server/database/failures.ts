/** What it means that a query has failed (pure). */
import { asReimageError, ReimageError } from "../../../errors.ts";

/**
 * Serialization failure or deadlock of PostgreSQL, or a row that another process has made since it was looked for: the loser
 * starts again, and sees it.
 */
export function isCollision(error: unknown): boolean {
  return error instanceof Error && "code" in error && /^(40001|40P01|23505)$/.test(String(error.code));
}

/** What a failed query means to who asked (pure): a decision of ours as it is, everything else is the database's. */
export function asStoreError(error: unknown): ReimageError {
  if (error instanceof ReimageError) return error;
  if (isDatabaseError(error)) {
    return new ReimageError("unavailable", "the database does not take this now", {
      cause: error,
      hint: hintFor(error) ?? "try again in a while",
    });
  }
  return asReimageError(error);
}

/** What to do where the database says what is wrong with it. */
export function hintFor(error: unknown): string | null {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "SQLITE_FULL" || code === "53100") return "the disk of the database is full: make room, and try again";
  if (/^(SQLITE_READONLY|25006|EROFS)/.test(code))
    return "the database can only be read: see why its disk is read-only";
  if (/^SQLITE_(CORRUPT|NOTADB)/.test(code)) return "the file is damaged, or no database: restore a backup of it";
  return null;
}

/** Errors that come from a driver or a disk, and not from a mistake of ours. Connections that break are told by postgres.ts. */
function isDatabaseError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  // PostgreSQL's classes of errors: connection, read-only or too many collisions, resources, an operator, the system.
  return (
    /^(08|25|40|53|57|58)...$/.test(code) || /^SQLITE_(FULL|IOERR|BUSY|READONLY|CANTOPEN|NOTADB|CORRUPT)/.test(code)
  );
}
