/** Files by the real packers, whole and with every kind of ending that their decoders pass over in silence. */
import { describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { ReimageError } from "../../../src/errors.ts";
import type { ImageFormat } from "../../../src/image/formats.ts";
import { createStreamEndScanner } from "../../../src/image/stream-end/stream-end.ts";
import { seeded } from "../disk/make-tables.ts";

const random = seeded(11);
const noise = (length: number) => Buffer.from(Array.from({ length }, () => random(256)));
const content = Buffer.concat([noise(5000), Buffer.alloc(300_000), noise(200)]);
const nothing = Buffer.alloc(0);

function pack(data: Buffer, command: string, ...args: string[]): Buffer {
  return execFileSync(command, [...args, "-c"], { input: data, maxBuffer: 1 << 26 });
}
const packers = {
  bz2: (data: Buffer) => pack(data, "bzip2"),
  gz: (data: Buffer) => pack(data, "gzip"),
  xz: (data: Buffer) => pack(data, "xz", "-0"),
  zst: (data: Buffer) => pack(data, "zstd", "-q"),
};
type Packed = keyof typeof packers;
const formats = Object.keys(packers) as Packed[];
const skippable = Buffer.concat([Buffer.from("5f2a4d1805000000", "hex"), Buffer.from("12345")]);

/** The verdict over a file that arrives in pieces of `pieceBytes`, of which the memory is used again. */
async function judge(format: ImageFormat, file: Buffer, decoded: Buffer, pieceBytes = 1000): Promise<string> {
  const scanner = createStreamEndScanner(format, "os.img");
  const memory = Buffer.alloc(pieceBytes);
  async function* read(offsetBytes: number, sizeBytes: number): AsyncGenerator<Uint8Array> {
    for (let at = offsetBytes; at < offsetBytes + sizeBytes; at += pieceBytes) {
      yield memory.subarray(0, file.copy(memory, 0, at, Math.min(at + pieceBytes, offsetBytes + sizeBytes)));
    }
  }
  try {
    for await (const piece of read(0, file.length)) scanner.update(piece);
    const check = scanner.finish();
    for (let at = 0; at < decoded.length; at += 777) check?.update(decoded.subarray(at, at + 777));
    await check?.finish({ sizeBytes: file.length, read });
    return "whole";
  } catch (error) {
    if (error instanceof ReimageError && error.code === "image" && error.hint !== undefined) return error.message;
    throw error;
  }
}

describe.each(formats)("%s", (format) => {
  const whole = packers[format](content);
  const empty = packers[format](nothing);
  const three = Buffer.concat([content, content, content]);

  test("whole, in pieces of every size", async () => {
    for (const piece of [1, 3, 7, 8, 11, 4096, 1 << 20])
      expect(await judge(format, whole, content, piece)).toBe("whole");
  });
  test("three behind each other", async () => {
    const file = Buffer.concat([whole, whole, whole]);
    for (const piece of [1, 17, 1 << 20]) expect(await judge(format, file, three, piece)).toBe("whole");
  });
  test("void ones before, between and at the end", async () => {
    const file = Buffer.concat([empty, whole, empty, whole, empty, whole, empty]);
    for (const piece of [5, 1 << 20]) expect(await judge(format, file, three, piece)).toBe("whole");
  });
  test("a void one alone", async () => {
    expect(await judge(format, empty, nothing)).toBe("whole"); // that it holds nothing is for others to say
  });

  test.each([1, 2, 3, 4, 8, 9, 10, 16, 512, 4096, 70_000])("%d zeros behind it", async (length) => {
    for (const [file, decoded] of [
      [whole, content],
      [Buffer.concat([whole, whole]), Buffer.concat([content, content])],
    ] as const) {
      for (const piece of [7, 1000, 1 << 20]) {
        const verdict = await judge(format, Buffer.concat([file, Buffer.alloc(length)]), decoded, piece);
        expect(verdict).toStartWith("image os.img has something ");
        expect(verdict).toContain(`at byte ${file.length} of ${file.length + length}`);
      }
    }
  });
  test.each(formats.filter((other) => other !== format))("one of %s behind it", async (other) => {
    const file = Buffer.concat([whole, packers[other](content)]);
    expect(await judge(format, file, Buffer.concat([content, content]))).toMatch(/has something|is cut off/);
  });
  test.each([1, 4, 16, 1000])("%d bytes of garbage behind it", async (length) => {
    expect(await judge(format, Buffer.concat([whole, noise(length)]), content)).toMatch(/has something|is cut off/);
  });
});

// Decoders refuse these by themselves; here they are noticed before anything is decoded.
describe.each(["bz2", "xz", "zst"] as const)("%s", (format) => {
  const whole = packers[format](content);
  test.each([1, 2, 4, 10, 100])("cut by %d bytes", async (cut) => {
    expect(await judge(format, whole.subarray(0, -cut), content)).toMatch(/^image os\.img is cut off: /);
  });
  test("empty", async () => {
    expect(await judge(format, nothing, nothing)).toMatch(/cut off/);
  });
});

describe("gz", () => {
  const whole = packers.gz(content);
  test("contents whose size or CRC ends with zeros", async () => {
    // ISIZE ends with a zero below 16 MiB; among 600 small ones some CRCs end or begin with one too.
    for (let length = 0; length < 600; length += 1) {
      const data = noise(length);
      const file = Buffer.from(Bun.gzipSync(data));
      expect(await judge("gz", file, data)).toBe("whole");
      const verdict = await judge("gz", Buffer.concat([file, Buffer.alloc(1 + (length % 9))]), data);
      expect(verdict).toContain(`ends at byte ${file.length} of`);
    }
  });
  test("what gzip would decode behind a member although it is none", async () => {
    const file = Buffer.concat([whole, Buffer.from("1f9d90", "hex")]);
    expect(execFileSync("gzip", ["-dc"], { input: file, maxBuffer: 1 << 26 }).equals(content)).toBe(true);
    expect(await judge("gz", file, content)).toMatch(/no gz member within its \d+ bytes/);
  });
  test("members of a block file, with its empty one at the end", async () => {
    const eof = Buffer.from("1f8b08040000000000ff0600424302001b0003000000000000000000", "hex");
    const file = Buffer.concat([whole, whole, eof]);
    expect(await judge("gz", file, Buffer.concat([content, content]))).toBe("whole");
  });
  test("a source that fails while it is read again says so itself", async () => {
    const scanner = createStreamEndScanner("gz", "os.img");
    scanner.update(Buffer.concat([whole, whole]));
    const check = scanner.finish();
    async function* read(): AsyncGenerator<Uint8Array> {
      yield whole;
      throw new ReimageError("image", "the medium failed");
    }
    await expect(check?.finish({ sizeBytes: 2 * whole.length, read })).rejects.toThrow("the medium failed");
  });
});

describe("zst", () => {
  const whole = packers.zst(content);
  test("skippable frames at the beginning and at the end", async () => {
    for (const piece of [1, 9, 4096]) {
      expect(await judge("zst", Buffer.concat([skippable, whole, skippable]), content, piece)).toBe("whole");
    }
    expect(await judge("zst", pack(content, "pzstd", "-q"), content)).toBe("whole");
  });
  test("a skippable frame that is cut", async () => {
    for (let cut = 1; cut < skippable.length; cut += 1) {
      const file = Buffer.concat([whole, skippable.subarray(0, -cut)]);
      expect(await judge("zst", file, content)).toMatch(/cut off|has something behind its end/);
    }
  });
  test("every kind of frame header: with and without size, checksum, and in several levels", async () => {
    const large = Buffer.concat([noise(300_000), Buffer.alloc(400_000, "text ")]);
    for (const size of [0, 1, 255, 256, 65_791, 65_792, large.length]) {
      for (const args of [["-1"], ["-19", "--no-check"], ["-3", `--stream-size=${size}`], ["--long=27"]]) {
        const data = large.subarray(0, size);
        expect(await judge("zst", pack(data, "zstd", "-q", ...args), data, 1013)).toBe("whole");
      }
    }
  });
  test("a block that cannot be one", async () => {
    // Magic, a header for one segment with an 8-bit size, then a block of the reserved type.
    expect(await judge("zst", Buffer.from("28b52ffd2001070000", "hex"), nothing)).toMatch(
      /damaged: byte 6 begins no block/,
    );
  });
});

test("a raw image has no end of its own", async () => {
  expect(await judge("raw", noise(700), noise(700))).toBe("whole");
});
