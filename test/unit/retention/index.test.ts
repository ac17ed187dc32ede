import { expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { IndexEntry } from "../../../src/retention/entry.ts";
import { formatIndexEntry, parseIndexEntry, readIndex } from "../../../src/retention/index-file.ts";
import { parseNameTable, translateId } from "../../../src/retention/names.ts";
import { formatSavedPermissions } from "../../../src/retention/saved-permissions.ts";

const entry: IndexEntry = {
  path: Buffer.from([0x2f, 0xff, 0x0a]),
  restorePath: Buffer.from("/line\u2028separator"),
  type: "file",
  isParent: false,
  mode: 0o4750,
  uid: 1000,
  gid: 4_294_967_290,
  user: "kiosk",
  group: null,
  sizeBytes: 2 ** 40,
  linkCount: 2,
  device: 0n,
  accessedNs: -1n,
  modifiedNs: 1_700_000_000_123_456_789n,
  xattrs: new Map([["user.a=b", Buffer.from([0, 255, 10])]]),
  aclUsers: new Map([[1000, "kiosk"]]),
  aclGroups: new Map(),
  symlinkTarget: null,
  linkOf: null,
  extents: [{ offsetBytes: 2 ** 39, lengthBytes: 5 }],
  archiveOffsetBytes: 1536,
  sha256: "00",
};
const node: IndexEntry = {
  ...entry,
  path: Buffer.from("/dev/x"),
  restorePath: Buffer.from("/dev/x"),
  type: "character-device",
  device: 259n,
  extents: [],
  archiveOffsetBytes: 0,
  sha256: null,
};

test("an entry survives the index", () => {
  expect(parseIndexEntry(formatIndexEntry(entry))).toEqual(entry);
  expect(parseIndexEntry(formatIndexEntry(node))).toEqual(node);
});

test("an index is read line by line, and one that is cut is refused", async () => {
  const dir = await mkdtemp(join(tmpdir(), "reimage-test-"));
  try {
    const path = join(dir, "index.ndjson");
    const many = Array.from({ length: 2000 }, (_, i) => ({ ...entry, uid: i }));
    const text = many.map((e) => `${formatIndexEntry(e)}\n`).join("");
    await writeFile(path, text);
    expect((await Array.fromAsync(readIndex(path))).map((e) => e.uid)).toEqual(many.map((e) => e.uid));
    await writeFile(path, text.slice(0, -1));
    await expect(Array.fromAsync(readIndex(path))).rejects.toThrow("middle of a line");
  } finally {
    await rm(dir, { recursive: true });
  }
});

test("savedperms lines are mode, user, group and path", () => {
  const parent: IndexEntry = { ...node, isParent: true };
  expect(formatSavedPermissions([entry, parent, { ...node, mode: 0, user: "root", group: "tty" }])).toBe(
    "4750\tkiosk\t4294967290\t/\\377\\012\n0\troot\ttty\t/dev/x\n",
  );
});

test("owners are found by name, else keep their number", () => {
  const table = parseNameTable(
    "root:x:0:0::/root:/bin/sh\nkiosk:x:1007:1007::/:\nbroken\n#c:x:5\nkiosk:x:9:9\nk2:x:1007\n",
  );
  expect(translateId(1000, "kiosk", table)).toBe(1007);
  expect(translateId(1000, "gone", table)).toBe(1000);
  expect(translateId(1000, null, table)).toBe(1000);
  expect(table.nameOf.get(1007)).toBe("kiosk");
});
