/** What is said of kernels and initramfs files before they are booted. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { formatDriverList } from "../../../src/arming/driver-list.ts";
import { readBootFiles } from "../../../src/arming/drivers.ts";
import { inspectInitramfs } from "../../../src/arming/initramfs-file.ts";
import { parseKernelVersion } from "../../../src/arming/kernel-image.ts";
import { newcArchive } from "../../../src/lifeboat/boot-volume/cpio.ts";
import { noise } from "../../support/make-disk.ts";

const folder = mkdtempSync(join(tmpdir(), "reimage-boot-files-"));
afterAll(() => rmSync(folder, { recursive: true }));
let made = 0;
function file(content: Uint8Array): string {
  made += 1;
  const path = join(folder, String(made));
  writeFileSync(path, content);
  return path;
}

const list = formatDriverList({ kernel: "6.1.0-56-amd64", patterns: ["xen:vbd"] });
const member = (path: string, content: string | Buffer) => ({ path, content: Buffer.from(content), mode: 0o644 });
/** As ours: the list first, what says that all is there last, and something large between them. */
const archive = newcArchive([
  member("drivers", list),
  member("usr/large", noise("large", 3 << 20)),
  member("zz-complete", ""),
]);
const compressions = [
  ["no compression", (data: Buffer) => data],
  ["zstd", (data: Buffer) => zstdCompressSync(data)],
  ["gzip", (data: Buffer) => gzipSync(data)],
] as const;

describe("inspectInitramfs", () => {
  for (const [name, compress] of compressions) {
    const whole = compress(archive);
    test(`${name}: the list is found, and the end; a second archive behind it does not matter`, async () => {
      const expected = { drivers: list, whole: "yes" } as const;
      expect(await inspectInitramfs(file(whole))).toEqual(expected);
      const overlay = newcArchive([member("etc/reimage/reimage.yaml", "a: b")]);
      const padding = Buffer.alloc(512 - (whole.length % 512));
      expect(await inspectInitramfs(file(Buffer.concat([whole, padding, overlay])))).toEqual(expected);
    });

    test.each([0.2, 0.5, 0.999])(`${name}: cut after %f of it, it is not whole`, async (part) => {
      const cut = whole.subarray(0, Math.floor(whole.length * part));
      expect((await inspectInitramfs(file(cut))).whole).toBe("no");
    });

    test(`${name}: zeros instead of its middle are noticed`, async () => {
      const damaged = Buffer.from(whole);
      damaged.fill(0, 1000, damaged.length >> 1); // over the header of a member, where nothing is compressed
      const plain = Buffer.concat([whole.subarray(0, 300), Buffer.alloc(200), whole.subarray(500)]);
      expect((await inspectInitramfs(file(name === "no compression" ? plain : damaged))).whole).toBe("no");
    });
  }

  test("what it cannot read, it does not judge", async () => {
    const unknown = { drivers: null, whole: "unknown" } as const;
    expect(await inspectInitramfs(file(Buffer.from("02214c18000000", "hex")))).toEqual(unknown); // lz4
    expect(await inspectInitramfs(file(Buffer.alloc(0)))).toEqual(unknown);
    expect(await inspectInitramfs(file(newcArchive([member("init", "")])))).toEqual(unknown);
  });

  test("a file that is not there is named", async () => {
    await expect(inspectInitramfs(join(folder, "none"))).rejects.toThrow(`${folder}/none cannot be opened`);
  });
});

/** The parts of a bzImage that are looked at. */
function kernelHead(version: string, change: (head: Buffer) => void = () => {}): Buffer {
  const head = Buffer.alloc(0x5000);
  head.writeUInt16LE(0xaa55, 0x1fe);
  head.write("HdrS", 0x202, "latin1");
  head.writeUInt16LE(0x020f, 0x206);
  head.writeUInt16LE(0x3c80, 0x20e);
  head.writeUInt8(1, 0x211);
  head.writeUInt16LE(0x7f, 0x236);
  head.write(`${version} (debian-kernel@lists.debian.org) #1 SMP\0`, 0x3e80, "latin1");
  change(head);
  return head;
}

describe("parseKernelVersion", () => {
  test("is what uname says", () => {
    expect(parseKernelVersion(kernelHead("6.1.0-56-amd64"))).toBe("6.1.0-56-amd64");
  });

  const broken: readonly (readonly [string, (head: Buffer) => void])[] = [
    ["without a boot signature", (head) => head.writeUInt16LE(0, 0x1fe)],
    ["without a header", (head) => head.write("HdrX", 0x202)],
    ["of before 3.8", (head) => head.writeUInt16LE(0x020b, 0x206)],
    ["that is no bzImage", (head) => head.writeUInt8(0, 0x211)],
    ["of 32 bits", (head) => head.writeUInt16LE(0x7e, 0x236)],
    ["without a version", (head) => head.writeUInt16LE(0, 0x20e)],
    ["whose version lies outside", (head) => head.writeUInt16LE(0xff00, 0x20e)],
  ];
  test.each(broken)("is null for a kernel %s", (_, change) => {
    expect(parseKernelVersion(kernelHead("6.1", change))).toBeNull();
  });

  test("is null for a file of another kind", () => {
    expect(parseKernelVersion(readFileSync(process.execPath).subarray(0, 1000))).toBeNull();
    expect(parseKernelVersion(Buffer.alloc(10))).toBeNull();
  });
});

describe("readBootFiles", () => {
  const judge = async (kernel: Buffer, initramfs: Buffer) => {
    const warnings: string[] = [];
    const paths = { kernelPath: file(kernel), initramfsPath: file(initramfs) };
    return { list: await readBootFiles(paths, (message) => warnings.push(message)), warnings };
  };

  test("takes files that belong together", async () => {
    const { list: found, warnings } = await judge(kernelHead("6.1.0-56-amd64"), zstdCompressSync(archive));
    expect(found).toEqual({ kernel: "6.1.0-56-amd64", patterns: ["xen:vbd"] });
    expect(warnings).toEqual([]);
  });

  test("refuses a kernel that the drivers are not for, a cut initramfs, and what is no kernel", async () => {
    await expect(judge(kernelHead("6.12.9"), archive)).rejects.toThrow(
      /is kernel 6\.12\.9, and .* holds the drivers of kernel 6\.1\.0-56-amd64/,
    );
    await expect(judge(kernelHead("6.1.0-56-amd64"), archive.subarray(0, 1 << 20))).rejects.toThrow("is not whole");
    await expect(judge(archive, archive)).rejects.toThrow("is no Linux kernel for x86-64");
  });

  test("warns of an initramfs that does not say what it has drivers for", async () => {
    const { list: found, warnings } = await judge(kernelHead("6.12.9"), newcArchive([member("zz-complete", "")]));
    expect(found).toBeNull();
    expect(warnings).toEqual([expect.stringContaining("has no list of its drivers")]);
  });
});
