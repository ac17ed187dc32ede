/** Programs for UEFI with and without a signature. test/vm/boot-volume.test.ts looks at Debian's kernel. */
import { expect, test } from "bun:test";
import { readLoader } from "../../../src/lifeboat/boot-volume/loaders.ts";
import { isSignedPe } from "../../../src/lifeboat/boot-volume/pe-signature.ts";
import { noise } from "../../support/boot-volume-disk.ts";

const headerOffset = 0x80;

interface Form {
  readonly magic?: number;
  readonly directories?: number;
  readonly certificateBytes?: number;
  readonly sizeBytes?: number;
  readonly offsetBytes?: number;
  readonly type?: number;
}

/** 1000 bytes of a program, and 200 of signature. */
function program(form: Form = {}): Buffer {
  const {
    magic = 0x20b,
    directories = 16,
    certificateBytes = 200,
    sizeBytes = 200,
    offsetBytes = 1000,
    type = 2,
  } = form;
  const data = Buffer.alloc(1200);
  data.write("MZ", 0, "latin1");
  data.writeUInt32LE(headerOffset, 0x3c);
  data.write("PE\0\0", headerOffset, "latin1");
  const optional = headerOffset + 24;
  data.writeUInt16LE(magic, optional);
  const count = optional + (magic === 0x20b ? 108 : 92);
  data.writeUInt32LE(directories, count);
  data.writeUInt32LE(offsetBytes, count + 4 + 32);
  data.writeUInt32LE(sizeBytes, count + 4 + 36);
  const certificate = offsetBytes === 0 ? 1000 : offsetBytes;
  data.writeUInt32LE(certificateBytes, certificate);
  data.writeUInt16LE(0x0200, certificate + 4);
  data.writeUInt16LE(type, certificate + 6);
  return data;
}

test("a signature that is all there counts", () => {
  expect(isSignedPe(program())).toBe(true);
  expect(isSignedPe(program({ magic: 0x10b }))).toBe(true);
});

test.each<[string, Form]>([
  ["no signature", { offsetBytes: 0, sizeBytes: 0 }],
  ["too few directories", { directories: 4 }],
  ["a program of another kind", { magic: 0x107 }],
  ["a table that leads into the header", { offsetBytes: 16 }],
  ["a table beyond the end", { sizeBytes: 201 }],
  ["an empty table", { sizeBytes: 8 }],
  ["a certificate larger than its table", { certificateBytes: 201 }],
  ["an empty certificate", { certificateBytes: 0 }],
  ["a certificate of another type", { type: 1 }],
])("%s: not signed", (_name, form) => {
  expect(isSignedPe(program(form))).toBe(false);
});

test("the systemd-boot in the executable is not signed, and says so", async () => {
  expect(isSignedPe(await readLoader("systemd-bootx64.efi"))).toBe(false);
});

test("what is cut off, or no program at all, is not signed", () => {
  const signed = program();
  for (let length = 0; length < signed.length; length += 1) expect(isSignedPe(signed.subarray(0, length))).toBe(false);
  for (let seed = 0; seed < 300; seed += 1) {
    const garbage = noise(1200, seed);
    garbage.write("MZ", 0, "latin1");
    if (seed % 2 === 0) garbage.writeUInt32LE(headerOffset, 0x3c);
    if (seed % 4 === 0) garbage.write("PE\0\0", headerOffset, "latin1");
    expect(isSignedPe(garbage)).toBe(false);
  }
});
