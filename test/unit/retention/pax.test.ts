import { expect, test } from "bun:test";
import { formatAclAttribute, formatAclText, parseAcl } from "../../../src/retention/acl.ts";
import { formatPaxRecord, formatPaxTime, formatSparseMap } from "../../../src/retention/pax.ts";

test("the length of a record counts its own digits", () => {
  for (const valueBytes of [1, 2, 3, 4, 88, 89, 90, 91, 985, 986, 987, 988, 10_000]) {
    const record = formatPaxRecord("path", Buffer.alloc(valueBytes, 0xff));
    const [digits = ""] = record.toString("latin1").split(" ");
    expect(record.length).toBe(Number(digits));
    expect(record.length).toBe(digits.length + " path=\n".length + valueBytes);
  }
});

test("times keep their nanoseconds, before 1970 too", () => {
  expect([1n, 1_700_000_000_123_456_789n, -1n, -1_500_000_000n, 0n].map(formatPaxTime)).toEqual([
    "0.000000001",
    "1700000000.123456789",
    "-0.000000001",
    "-1.500000000",
    "0.000000000",
  ]);
});

test("a sparse map names the data and ends at the size of the file", () => {
  const map = formatSparseMap([{ offsetBytes: 4096, lengthBytes: 10 }], 2 ** 40);
  expect(map.length).toBe(512);
  expect(map.toString("latin1").replaceAll("\0", "")).toBe(`2\n4096\n10\n${2 ** 40}\n0\n`);
  expect(formatSparseMap([], 5).toString("latin1").replaceAll("\0", "")).toBe("1\n5\n0\n");
  const toTheEnd = formatSparseMap([{ offsetBytes: 4096, lengthBytes: 4096 }], 8192);
  expect(toTheEnd.toString("latin1").replaceAll("\0", "")).toBe("1\n4096\n4096\n");
});

test("an ACL as the kernel has it, as text, and back", () => {
  // setfacl -m u:1000:rwx,g:44:r of a file with mode 640, read with getfattr.
  const attribute = Buffer.from(
    "0200000001000600ffffffff02000700e803000004000400ffffffff080004002c00000010000700ffffffff20000000ffffffff",
    "hex",
  );
  const entries = parseAcl(attribute);
  const names = { users: new Map([[1000, "kiosk"]]), groups: new Map() };
  expect(formatAclText(entries, names)).toBe(
    "user::rw-,user:kiosk:rwx:1000,group::r--,group:44:r--:44,mask::rwx,other::---",
  );
  expect(formatAclAttribute(entries.toReversed())).toEqual(attribute);
  expect(() => parseAcl(attribute.subarray(0, 10))).toThrow("not a POSIX ACL");
});
