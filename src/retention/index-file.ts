/**
 * The index beside the archive: a line of JSON for each entry, in the order of the archive, with everything that
 * restoring needs but the content. Paths are text where they are UTF-8, else `{"base64": …}`.
 */
import { isUtf8 } from "node:buffer";
import { createReadStream } from "node:fs";
import type { FileType, IndexEntry } from "./entry.ts";

type JsonBytes = string | { readonly base64: string };

/** A line of the index, as JSON. */
interface IndexLine {
  readonly path: JsonBytes;
  readonly restorePath?: JsonBytes;
  readonly type: FileType;
  readonly isParent?: true;
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  readonly user: string | null;
  readonly group: string | null;
  readonly sizeBytes: number;
  readonly linkCount: number;
  readonly device?: string;
  readonly accessedNs: string;
  readonly modifiedNs: string;
  readonly xattrs?: Readonly<Record<string, string>>;
  readonly aclUsers?: readonly (readonly [number, string])[];
  readonly aclGroups?: readonly (readonly [number, string])[];
  readonly symlinkTarget?: JsonBytes;
  readonly linkOf?: JsonBytes;
  /** Offset and length of each. */
  readonly extents?: readonly (readonly [number, number])[];
  readonly archiveOffsetBytes?: number;
  readonly sha256?: string;
}

/** The line of an entry, without the line feed. */
export function formatIndexEntry(entry: IndexEntry): string {
  const line: IndexLine = {
    path: toJson(entry.path),
    ...(entry.restorePath.equals(entry.path) ? {} : { restorePath: toJson(entry.restorePath) }),
    type: entry.type,
    ...(entry.isParent ? { isParent: true } : {}),
    mode: entry.mode.toString(8),
    uid: entry.uid,
    gid: entry.gid,
    user: entry.user,
    group: entry.group,
    sizeBytes: entry.sizeBytes,
    linkCount: entry.linkCount,
    ...(entry.device === 0n ? {} : { device: String(entry.device) }),
    accessedNs: String(entry.accessedNs),
    modifiedNs: String(entry.modifiedNs),
    ...(entry.xattrs.size === 0 ? {} : { xattrs: xattrsToJson(entry.xattrs) }),
    ...(entry.aclUsers.size === 0 ? {} : { aclUsers: [...entry.aclUsers] }),
    ...(entry.aclGroups.size === 0 ? {} : { aclGroups: [...entry.aclGroups] }),
    ...(entry.symlinkTarget === null ? {} : { symlinkTarget: toJson(entry.symlinkTarget) }),
    ...(entry.linkOf === null ? {} : { linkOf: toJson(entry.linkOf) }),
    ...(entry.sha256 === null
      ? {}
      : {
          extents: entry.extents.map((extent) => [extent.offsetBytes, extent.lengthBytes] as const),
          archiveOffsetBytes: entry.archiveOffsetBytes,
          sha256: entry.sha256,
        }),
  };
  return JSON.stringify(line);
}

/** Parses a line that `formatIndexEntry` wrote; the index as a whole is vouched for by its digest. */
export function parseIndexEntry(text: string): IndexEntry {
  const line = JSON.parse(text) as IndexLine;
  const path = fromJson(line.path);
  return {
    path,
    restorePath: line.restorePath === undefined ? path : fromJson(line.restorePath),
    type: line.type,
    isParent: line.isParent === true,
    mode: Number.parseInt(line.mode, 8),
    uid: line.uid,
    gid: line.gid,
    user: line.user,
    group: line.group,
    sizeBytes: line.sizeBytes,
    linkCount: line.linkCount,
    device: BigInt(line.device ?? 0),
    accessedNs: BigInt(line.accessedNs),
    modifiedNs: BigInt(line.modifiedNs),
    xattrs: new Map(Object.entries(line.xattrs ?? {}).map(([name, value]) => [name, Buffer.from(value, "base64")])),
    aclUsers: new Map(line.aclUsers),
    aclGroups: new Map(line.aclGroups),
    symlinkTarget: line.symlinkTarget === undefined ? null : fromJson(line.symlinkTarget),
    linkOf: line.linkOf === undefined ? null : fromJson(line.linkOf),
    extents: (line.extents ?? []).map(([offsetBytes, lengthBytes]) => ({ offsetBytes, lengthBytes })),
    archiveOffsetBytes: line.archiveOffsetBytes ?? 0,
    sha256: line.sha256 ?? null,
  };
}

/** Reads an index entry by entry. */
export async function* readIndex(indexPath: string): AsyncGenerator<IndexEntry> {
  const LINE_FEED = 0x0a; // and nothing else: node:readline would also end a line at a U+2028 in a name
  let pending: Buffer[] = [];
  for await (const chunk of createReadStream(indexPath) as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
      yield parseIndexEntry(Buffer.concat([...pending, chunk.subarray(start, end)]).toString("utf8"));
      pending = [];
      start = end + 1;
    }
    pending.push(chunk.subarray(start));
  }
  if (pending.some((part) => part.length > 0)) throw new Error(`${indexPath} ends in the middle of a line`);
}

function toJson(bytes: Buffer): JsonBytes {
  return isUtf8(bytes) ? bytes.toString("utf8") : { base64: bytes.toString("base64") };
}

function fromJson(value: JsonBytes): Buffer {
  return typeof value === "string" ? Buffer.from(value, "utf8") : Buffer.from(value.base64, "base64");
}

function xattrsToJson(xattrs: ReadonlyMap<string, Buffer>): Record<string, string> {
  return Object.fromEntries([...xattrs].map(([name, value]) => [name, value.toString("base64")]));
}
