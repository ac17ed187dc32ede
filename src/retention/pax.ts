/**
 * The extended header of a PAX archive (POSIX pax(1), "pax Extended Header"), with the keywords of GNU tar and star for
 * what POSIX does not know. Written as bytes, since names and attribute values may hold any.
 */
import { aclAttributes, formatAclText, parseAcl } from "./acl.ts";
import type { Extent, FileMetadata } from "./entry.ts";

/** One record: `LENGTH KEYWORD=VALUE\n`, where LENGTH counts itself too. */
export function formatPaxRecord(keyword: string, value: Buffer | string): Buffer {
  const body = Buffer.concat([Buffer.from(` ${keyword}=`), Buffer.from(value), Buffer.from("\n")]);
  let lengthBytes = body.length + 1;
  while (String(lengthBytes).length + body.length !== lengthBytes) {
    lengthBytes = String(lengthBytes).length + body.length;
  }
  return Buffer.concat([Buffer.from(String(lengthBytes)), body]);
}

/** Nanoseconds since the epoch as decimal seconds, such as `-1.5`. */
export function formatPaxTime(ns: bigint): string {
  const absolute = ns < 0n ? -ns : ns;
  const fraction = String(absolute % 1_000_000_000n).padStart(9, "0");
  return `${ns < 0n ? "-" : ""}${absolute / 1_000_000_000n}.${fraction}`;
}

/** What the header of an entry says beyond its metadata. */
export interface PaxContext {
  readonly user: string | null;
  readonly group: string | null;
  readonly aclUsers: ReadonlyMap<number, string>;
  readonly aclGroups: ReadonlyMap<number, string>;
  /** Bytes that the entry stores: data and, for a sparse file, its map. */
  readonly storedBytes: number;
  readonly isSparse: boolean;
}

/** All records of an entry. Member names are relative, as GNU tar writes them. */
export function formatPaxHeader(entry: FileMetadata, context: PaxContext): Buffer {
  const records: Buffer[] = [];
  const add = (keyword: string, value: Buffer | string) => records.push(formatPaxRecord(keyword, value));
  if (context.isSparse) {
    add("GNU.sparse.major", "1");
    add("GNU.sparse.minor", "0");
    add("GNU.sparse.name", memberName(entry));
    add("GNU.sparse.realsize", String(entry.sizeBytes));
  } else {
    add("path", memberName(entry));
  }
  if (entry.type === "symlink" && entry.symlinkTarget !== null) add("linkpath", entry.symlinkTarget);
  if (entry.type === "link" && entry.linkOf !== null) add("linkpath", entry.linkOf.subarray(1));
  add("size", String(context.storedBytes));
  add("uid", String(entry.uid));
  add("gid", String(entry.gid));
  if (context.user !== null) add("uname", context.user);
  if (context.group !== null) add("gname", context.group);
  add("mtime", formatPaxTime(entry.modifiedNs));
  add("atime", formatPaxTime(entry.accessedNs));
  // A further name of a file brings nothing but the name.
  if (entry.type !== "link") addXattrs(entry, context, add);
  return Buffer.concat(records);
}

function addXattrs(
  entry: FileMetadata,
  context: PaxContext,
  add: (keyword: string, value: Buffer | string) => void,
): void {
  for (const [name, value] of entry.xattrs) {
    if (name === "system.posix_acl_access" || name === "system.posix_acl_default") {
      const text = formatAclText(parseAcl(value), { users: context.aclUsers, groups: context.aclGroups });
      add(aclAttributes[name], text);
      continue;
    }
    // GNU tar reads the label under this name; without the NUL that ends it.
    if (name === "security.selinux") add("RHT.security.selinux", withoutFinalNul(value));
    // As GNU tar since 1.29: the keyword ends at the first `=`.
    add(`SCHILY.xattr.${name.replaceAll("%", "%25").replaceAll("=", "%3D")}`, value);
  }
}

function withoutFinalNul(value: Buffer): Buffer {
  return value.at(-1) === 0 ? value.subarray(0, -1) : value;
}

/** The name in the archive: without the first slash, and with one at the end of a directory. */
export function memberName(entry: FileMetadata): Buffer {
  const name = entry.path.subarray(1);
  return entry.type === "directory" ? Buffer.concat([name, Buffer.from("/")]) : name;
}

/** The map that comes before the data of a sparse file: GNU tar's "PAX format, version 1.0", padded to a block. */
export function formatSparseMap(extents: readonly Extent[], sizeBytes: number): Buffer {
  const last = extents.at(-1);
  const endsInHole = last === undefined || last.offsetBytes + last.lengthBytes < sizeBytes;
  const all = endsInHole ? [...extents, { offsetBytes: sizeBytes, lengthBytes: 0 }] : extents;
  const text = `${all.length}\n${all.map((e) => `${e.offsetBytes}\n${e.lengthBytes}\n`).join("")}`;
  const map = Buffer.alloc(Math.ceil(text.length / 512) * 512);
  map.write(text, "latin1");
  return map;
}
