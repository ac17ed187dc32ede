/** The retained files of a kiosk, seen from outside before and after: what must be the same. */
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAcl } from "../../src/retention/acl.ts";
import { type FileFacts, readAllFacts } from "./file-facts.ts";

interface Accounts {
  readonly users: ReadonlyMap<number, string>;
  readonly groups: ReadonlyMap<number, string>;
}

/** Paths of everything below `path` (and itself), as bytes, below `root`. */
function walk(root: string, path: Buffer): Buffer[] {
  const absolute = Buffer.concat([Buffer.from(root), path]);
  if (!lstatSync(absolute).isDirectory()) return [path];
  const names = readdirSync(absolute, { encoding: "buffer" });
  return [path, ...names.flatMap((name) => walk(root, Buffer.concat([path, Buffer.from("/"), name])))];
}

function readAccounts(root: string): Accounts {
  const table = (file: string): Map<number, string> =>
    new Map(
      readFileSync(join(root, file), "utf8")
        .split("\n")
        .map((line) => line.split(":"))
        .map(([name = "", , number]) => [Number(number), name] as const),
    );
  return { users: table("etc/passwd"), groups: table("etc/group") };
}

/**
 * Facts of all files below the given paths, with owners, and the owners in ACLs, by name where `knownBy` has the name
 * too, and else by number.
 */
export async function describeRetained(
  root: string,
  accountsRoot: string,
  otherAccountsRoot: string,
  paths: readonly Buffer[],
): Promise<Record<string, FileFacts>> {
  const own = readAccounts(accountsRoot);
  const other = readAccounts(otherAccountsRoot);
  const name = (kind: keyof Accounts, number: number): string => {
    const found = own[kind].get(number);
    return found !== undefined && [...other[kind].values()].includes(found) ? found : `number ${number}`;
  };
  const facts = await readAllFacts(root, paths);
  return Object.fromEntries(
    Object.entries(facts).map(([path, { uid, gid, xattrs, ...rest }]) => {
      const attributes = Object.entries(xattrs as Record<string, string>).map(([key, value]) =>
        key.startsWith("system.posix_acl_") ? [key, describeAcl(Buffer.from(value, "hex"), name)] : [key, value],
      );
      const owner = { user: name("users", Number(uid)), group: name("groups", Number(gid)) };
      return [path, { ...rest, ...owner, xattrs: Object.fromEntries(attributes) }];
    }),
  );
}

function describeAcl(attribute: Buffer, name: (kind: keyof Accounts, number: number) => string): string[] {
  return parseAcl(attribute)
    .map(({ tag, id, permissions }) => {
      const who = id === null ? "" : name(tag === "user" ? "users" : "groups", id);
      return `${tag}:${who}:${permissions}`;
    })
    .toSorted();
}

/** What the retention list of the Debian kiosk comes to in its old root. */
export function retainedInRoot(root: string): Buffer[] {
  const keys = readdirSync(join(root, "etc/ssh")).filter((name) => /^ssh_host_.*_key(\.pub)?$/.test(name));
  const lists = [
    "/etc/machine-id",
    "/etc/hostname",
    ...keys.toSorted().map((name) => `/etc/ssh/${name}`),
    "/etc/kiosk",
    "/var/lib/kiosk",
    "/home/technician/notes for the next one.txt",
  ];
  return lists
    .flatMap((path) => walk(root, Buffer.from(path)))
    .filter((path) => !path.toString("latin1").startsWith("/var/lib/kiosk/cache"));
}

/** The same in its kiosk partition, mounted on its own. */
export function retainedInKioskPartition(root: string): Buffer[] {
  return walk(root, Buffer.from("/state"));
}
