/** Judges and sums up what was selected. */
import { ReimageError } from "../errors.ts";
import type { RetainedSelection, SelectedEntry } from "./entry.ts";
import type { RetentionRule } from "./list.ts";
import { decodePath, displayPath } from "./path.ts";

/** @throws ReimageError `required-file`, or `retention-list` where two files would be restored to one path. */
export function summarizeSelection(
  entries: readonly SelectedEntry[],
  rules: readonly RetentionRule[],
  matched: ReadonlySet<RetentionRule>,
  warnings: readonly string[],
): RetainedSelection {
  const unmatched = rules.filter((rule) => rule.kind !== "exclude" && !matched.has(rule));
  const required = unmatched.filter((rule) => rule.kind === "required");
  if (required.length > 0) {
    const names = required.map((rule) => `${rule.pattern.text} (${rule.origin})`).join(", ");
    throw new ReimageError("required-file", `the old OS lacks what the retention list requires: ${names}`, {
      hint: "nothing was written; restore the file in the old OS, or correct the line (spaces at its end count too)",
    });
  }
  if (rules.some((rule) => rule.kind === "move")) checkRestorePaths(entries);
  return {
    entries,
    missing: unmatched.map((rule) => (rule.kind === "move" ? displayPath(rule.oldPath) : rule.pattern.text)),
    warnings,
    count: entries.filter((entry) => !entry.isParent).length,
    contentBytes: entries.reduce((sum, entry) => sum + entry.dataBytes, 0),
    totalBytes: entries.reduce((sum, entry) => sum + estimateEntry(entry), END_OF_ARCHIVE),
  };
}

function checkRestorePaths(entries: readonly SelectedEntry[]): void {
  const taken = new Map<string, SelectedEntry>();
  for (const entry of entries) {
    if (entry.isParent) continue;
    const key = decodePath(entry.restorePath);
    const other = taken.get(key);
    if (other !== undefined && (entry.type !== "directory" || other.type !== "directory")) {
      const [a, b, to] = [other.path, entry.path, entry.restorePath].map(displayPath);
      throw new ReimageError("retention-list", `${a} and ${b} would both be restored to ${to}`, {
        hint: "correct the @move lines of the retention list; nothing was written",
      });
    }
    taken.set(key, entry);
  }
}

const END_OF_ARCHIVE = 1024 + 4096;

/** Upper bound of what one entry takes in archive and index: headers, padding, JSON with base64. */
function estimateEntry(entry: SelectedEntry): number {
  const text = 4 * (entry.path.length + entry.restorePath.length + (entry.symlinkTarget?.length ?? 0));
  const xattrs = [...entry.xattrs].reduce((sum, [name, value]) => sum + 128 + 2 * name.length + 4 * value.length, 0);
  const ofLink = 4 * (entry.linkOf?.length ?? 0);
  return 4096 + text + ofLink + xattrs + entry.dataBytes + entry.extentCount * EXTENT_BYTES;
}

/** An extent in the sparse map of the archive and in the index: two decimal numbers each. */
const EXTENT_BYTES = 2 * 2 * 16;
