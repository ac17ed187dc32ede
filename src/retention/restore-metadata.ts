/** Gives a restored file its owner, mode, attributes and times, and checks that the file system kept them. */
import { chmod, lchown, lstat } from "node:fs/promises";
import { getXattr, listXattrs, removeXattr, setTimes, setXattr } from "../system/libc.ts";
import { formatAclAttribute, isStoredAcl, parseAcl } from "./acl.ts";
import type { IndexEntry } from "./entry.ts";
import { errnoOf } from "./file-io.ts";
import { type AccountNames, translateId } from "./names.ts";

const selinux = "security.selinux";
const capability = "security.capability";
/** A signature over inode number and generation (security/integrity/evm): worth nothing on another file. */
const evm = "security.evm";
/** What a directory or a parent's default ACL may have put on the file. Labels and the like are left alone. */
const removable = /^(user\.|trusted\.|system\.posix_acl_)/;

/** File systems that keep no owner and no Unix mode (linux/magic.h, fs/ntfs3). */
const foreignFileSystems: ReadonlyMap<number, string> = new Map([
  [0x4d44, "vfat"],
  [0x2011bab0, "exfat"],
  [0x5346544e, "ntfs"],
  [0x7366746e, "ntfs3"],
]);

/** What restoring metadata needs beside the entry. */
export interface MetadataContext {
  readonly names: AccountNames;
  /** Magic number of the file system, from statfs(2) of a directory: of a symbolic link it would tell the target's. */
  readonly fileSystemType: number;
  /** The label where the archive has none: that of the replaced file, else of the directory. */
  readonly fallbackLabel: Buffer | null;
}

/**
 * Sets everything but the times on the file at `path`, which is not followed if it is a symbolic link.
 * @returns what the file system cannot hold; empty where all of it is in place.
 * @throws the error of the system call where the file system could hold it and does not.
 */
export async function applyMetadata(path: Buffer, entry: IndexEntry, context: MetadataContext): Promise<string[]> {
  const foreign = foreignFileSystems.get(context.fileSystemType >>> 0) ?? null;
  const losses: string[] = [];
  const uid = translateId(entry.uid, entry.user, context.names.users);
  const gid = translateId(entry.gid, entry.group, context.names.groups);
  // chown first: it clears the suid bit and capabilities.
  await toleratingForeign(foreign, lchown(path, uid, gid));
  for (const name of listXattrs(path)) {
    if (removable.test(name) && !isStoredAcl(name) && !entry.xattrs.has(name)) removeXattr(path, name);
  }
  const wanted = new Map(entry.xattrs);
  if (!wanted.has(selinux) && context.fallbackLabel !== null) wanted.set(selinux, context.fallbackLabel);
  for (const [name, value] of wanted) {
    if (name !== capability && name !== evm) applyXattr(path, name, translateAcl(name, value, entry, context), losses);
  }
  // The mode after the ACL, which rewrites the group bits; for a symbolic link Linux knows no mode.
  if (entry.type !== "symlink") await toleratingForeign(foreign, chmod(path, entry.mode));
  const capabilities = wanted.get(capability);
  if (capabilities !== undefined) applyXattr(path, capability, capabilities, losses);
  await checkOwnerAndMode(path, entry, { uid, gid }, foreign, losses);
  return losses;
}

/** Sets the times, which must come last. @returns what the file system cannot hold. */
export async function applyTimes(path: Buffer, entry: IndexEntry): Promise<string[]> {
  setTimes(path, entry.accessedNs, entry.modifiedNs);
  const { mtimeNs } = await lstat(path, { bigint: true });
  return mtimeNs === entry.modifiedNs ? [] : ["the file system cannot hold its exact times"];
}

/** The SELinux label of a file, or null where it has none. */
export function readLabel(path: Buffer): Buffer | null {
  try {
    return getXattr(path, selinux);
  } catch (error) {
    if (["ENODATA", "EOPNOTSUPP", "ENOTSUP", "ENOENT"].includes(errnoOf(error) ?? "")) return null;
    throw error;
  }
}

function applyXattr(path: Buffer, name: string, value: Buffer, losses: string[]): void {
  try {
    setXattr(path, name, value);
  } catch (error) {
    if (!["EOPNOTSUPP", "ENOTSUP"].includes(errnoOf(error) ?? "")) throw error;
    losses.push(`the file system cannot hold its attribute ${name}`);
  }
}

/** Names in ACLs count as names of owners do. */
function translateAcl(name: string, value: Buffer, entry: IndexEntry, { names }: MetadataContext): Buffer {
  if (!name.startsWith("system.posix_acl_")) return value;
  return formatAclAttribute(
    parseAcl(value).map((acl) => {
      if (acl.id === null) return acl;
      const isUser = acl.tag === "user";
      const oldName = (isUser ? entry.aclUsers : entry.aclGroups).get(acl.id) ?? null;
      return { ...acl, id: translateId(acl.id, oldName, isUser ? names.users : names.groups) };
    }),
  );
}

async function toleratingForeign(foreign: string | null, operation: Promise<void>): Promise<void> {
  try {
    await operation;
  } catch (error) {
    // Named by checkOwnerAndMode, which sees what has become of it.
    if (foreign === null || errnoOf(error) !== "EPERM") throw error;
  }
}

async function checkOwnerAndMode(
  path: Buffer,
  entry: IndexEntry,
  owner: { readonly uid: number; readonly gid: number },
  foreign: string | null,
  losses: string[],
): Promise<void> {
  const found = await lstat(path);
  const isMode = entry.type === "symlink" || (found.mode & 0o7777) === entry.mode;
  if (isMode && found.uid === owner.uid && found.gid === owner.gid) return;
  if (foreign === null) throw new Error("the file system did not keep its owner and mode");
  losses.push(`${foreign} cannot hold its owner and mode`);
}
