/** Reads the user and group names of a root file system. */
import type { FileHandle } from "node:fs/promises";
import type { IndexEntry } from "./entry.ts";
import { sumExtents } from "./extents.ts";
import { readFully } from "./file-io.ts";
import { type AccountNames, parseNameTable } from "./names.ts";
import { decodePath } from "./path.ts";
import type { RootedDirectory } from "./rooted.ts";

const passwdPath = "/etc/passwd";
const groupPath = "/etc/group";

/** The names of the file system; none where it has no /etc/passwd or /etc/group. */
export async function readAccountNames(rooted: RootedDirectory): Promise<AccountNames> {
  const [users, groups] = [await rooted.readFile(passwdPath), await rooted.readFile(groupPath)];
  return { users: parseNameTable(users?.toString() ?? ""), groups: parseNameTable(groups?.toString() ?? "") };
}

/**
 * The names that the new OS will have once everything is restored: where /etc/passwd or /etc/group is itself retained,
 * that one counts. So a run that is started again, after it has been replaced, finds the same owners.
 */
export async function readFinalAccountNames(
  rooted: RootedDirectory,
  entries: AsyncIterable<IndexEntry>,
  archive: FileHandle,
): Promise<AccountNames> {
  let names = await readAccountNames(rooted);
  const linked = new Map<string, IndexEntry>();
  for await (const entry of entries) {
    if (entry.type === "file" && entry.linkCount > 1) linked.set(decodePath(entry.path), entry);
    const path = decodePath(entry.restorePath);
    if (path !== passwdPath && path !== groupPath) continue;
    const source = entry.linkOf === null ? entry : linked.get(decodePath(entry.linkOf));
    if (source?.type !== "file") continue;
    const table = parseNameTable(await readContent(source, archive));
    names = path === passwdPath ? { ...names, users: table } : { ...names, groups: table };
  }
  return names;
}

async function readContent(entry: IndexEntry, archive: FileHandle): Promise<string> {
  const content = Buffer.alloc(sumExtents(entry.extents)); // holes would be NULs, which no name holds
  await readFully(archive, content, entry.archiveOffsetBytes);
  return content.toString();
}
