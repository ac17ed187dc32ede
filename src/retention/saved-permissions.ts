/** The `savedperms` view for people: mode, user, group and path of what was retained. */
import type { IndexEntry, RetainedArchive } from "./entry.ts";
import { readIndex } from "./index-file.ts";
import { displayPath } from "./path.ts";

/** One line for each entry: find(1)'s `%m\t%u\t%g\t%p`; unusual bytes of a path are written as `\ooo`. */
export function formatSavedPermissions(entries: Iterable<IndexEntry>): string {
  let text = "";
  for (const entry of entries) {
    if (entry.isParent) continue;
    const owner = `${entry.user ?? entry.uid}\t${entry.group ?? entry.gid}`;
    text += `${entry.mode.toString(8)}\t${owner}\t${displayPath(entry.path)}\n`;
  }
  return text;
}

/** The `savedperms` view of a finished archive. */
export async function readSavedPermissions(archive: RetainedArchive): Promise<string> {
  let text = "";
  for await (const entry of readIndex(archive.indexPath)) text += formatSavedPermissions([entry]);
  return text;
}
