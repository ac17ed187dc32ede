/**
 * POSIX ACLs in the three forms that meet here: the kernel's attributes `system.posix_acl_access` and `…_default`
 * (linux/posix_acl_xattr.h), entries, and the text of star and GNU tar, whose fourth field is the number.
 */

/** One ACL entry. `id` is null but for a named user or group. */
export interface AclEntry {
  readonly tag: "user-owner" | "user" | "group-owner" | "group" | "mask" | "other";
  readonly id: number | null;
  /** rwx as 4, 2, 1. */
  readonly permissions: number;
}

/** Attributes of the kernel that hold ACLs, and the pax record of each. */
export const aclAttributes = {
  "system.posix_acl_access": "SCHILY.acl.access",
  "system.posix_acl_default": "SCHILY.acl.default",
} as const;

/** xfs lists its ACLs a second time, as it stores them (fs/xfs/xfs_xattr.c); they are no attributes of their own. */
const storedAcls: readonly string[] = ["trusted.SGI_ACL_FILE", "trusted.SGI_ACL_DEFAULT"];

/** Whether an attribute is only another view of an ACL. */
export function isStoredAcl(attribute: string): boolean {
  return storedAcls.includes(attribute);
}

const tagNumbers = { "user-owner": 1, user: 2, "group-owner": 4, group: 8, mask: 0x10, other: 0x20 } as const;
const VERSION = 2;
const NO_ID = 0xffffffff;

/** Parses the attribute. @throws Error where it is no ACL of version 2. */
export function parseAcl(attribute: Buffer): AclEntry[] {
  if (attribute.length < 4 || (attribute.length - 4) % 8 !== 0 || attribute.readUInt32LE(0) !== VERSION) {
    throw new Error("not a POSIX ACL of version 2");
  }
  const entries: AclEntry[] = [];
  for (let at = 4; at < attribute.length; at += 8) {
    const number = attribute.readUInt16LE(at);
    const tag = (Object.keys(tagNumbers) as AclEntry["tag"][]).find((name) => tagNumbers[name] === number);
    if (tag === undefined) throw new Error(`unknown ACL tag ${number}`);
    const id = tag === "user" || tag === "group" ? attribute.readUInt32LE(at + 4) : null;
    entries.push({ tag, id, permissions: attribute.readUInt16LE(at + 2) });
  }
  return entries;
}

/** The attribute of these entries, in the order that the kernel asks for. */
export function formatAclAttribute(entries: readonly AclEntry[]): Buffer {
  const sorted = entries.toSorted((a, b) => tagNumbers[a.tag] - tagNumbers[b.tag] || (a.id ?? 0) - (b.id ?? 0));
  const attribute = Buffer.alloc(4 + 8 * sorted.length);
  attribute.writeUInt32LE(VERSION, 0);
  for (const [i, entry] of sorted.entries()) {
    attribute.writeUInt16LE(tagNumbers[entry.tag], 4 + 8 * i);
    attribute.writeUInt16LE(entry.permissions, 6 + 8 * i);
    attribute.writeUInt32LE(entry.id ?? NO_ID, 8 + 8 * i);
  }
  return attribute;
}

/** The text of star and GNU tar, such as `user::rw-,user:kiosk:r--:1000,group::r--,mask::r--,other::---`. */
export function formatAclText(
  entries: readonly AclEntry[],
  names: { readonly users: ReadonlyMap<number, string>; readonly groups: ReadonlyMap<number, string> },
): string {
  const format = ({ tag, id, permissions }: AclEntry): string => {
    const word = tag === "user-owner" ? "user" : tag === "group-owner" ? "group" : tag;
    const rwx = `${permissions & 4 ? "r" : "-"}${permissions & 2 ? "w" : "-"}${permissions & 1 ? "x" : "-"}`;
    if (id === null) return `${word}::${rwx}`;
    return `${word}:${names[tag === "user" ? "users" : "groups"].get(id) ?? id}:${rwx}:${id}`;
  };
  return entries.map(format).join(",");
}
