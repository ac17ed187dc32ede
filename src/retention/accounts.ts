/** Reads the user and group names of a root file system. */
import { type AccountNames, type NameTable, parseNameTable } from "./names.ts";
import type { RootedDirectory } from "./rooted.ts";

/** The names of the file system; none where it has no /etc/passwd or /etc/group. */
export async function readAccountNames(rooted: RootedDirectory): Promise<AccountNames> {
  const readTable = async (path: string): Promise<NameTable> =>
    parseNameTable((await rooted.readFile(path))?.toString("utf8") ?? "");
  return { users: await readTable("/etc/passwd"), groups: await readTable("/etc/group") };
}
