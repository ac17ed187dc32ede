/** What stage restore returns. */
import type { RestoreSummary } from "../retention/restore.ts";

/** What is true at the end: the disk boots the new OS, with these files back in it. */
export interface Restored {
  /** Null for a machine without an old OS. */
  readonly retained: RestoreSummary | null;
}
