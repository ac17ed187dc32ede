/** User and group names of a root file system: /etc/passwd and /etc/group, nothing else (no LDAP, no NSS). */

/** Names and numbers of one file. */
export interface NameTable {
  readonly nameOf: ReadonlyMap<number, string>;
  readonly idOf: ReadonlyMap<string, number>;
}

/** Users and groups of one root file system. */
export interface AccountNames {
  readonly users: NameTable;
  readonly groups: NameTable;
}

/** Parses /etc/passwd or /etc/group (both have name and number in the first and third field); passwd(5), group(5). */
export function parseNameTable(text: string): NameTable {
  const nameOf = new Map<number, string>();
  const idOf = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [name = "", , number = ""] = line.split(":");
    if (name === "" || name.startsWith("#") || !/^\d+$/.test(number)) continue;
    const id = Number(number);
    // As getpwuid(3) and getpwnam(3): the first line that fits counts.
    if (!nameOf.has(id)) nameOf.set(id, name);
    if (!idOf.has(name)) idOf.set(name, id);
  }
  return { nameOf, idOf };
}

/** The number in the new OS of an owner in the old one: by name where the new OS knows the name, else unchanged. */
export function translateId(id: number, oldName: string | null, newNames: NameTable): number {
  return (oldName === null ? undefined : newNames.idOf.get(oldName)) ?? id;
}
