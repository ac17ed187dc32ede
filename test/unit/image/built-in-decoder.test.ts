/** gz and zst without a command. */
import { describe, expect, test } from "bun:test";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { type BuiltInFormat, decodeBuiltIn } from "../../../src/image/built-in-decoder.ts";
import { createRandom } from "../../support/random.ts";

const random = createRandom(11);
const noise = Buffer.from(Array.from({ length: 700_000 }, () => random.below(256)));
const flat = Buffer.alloc(900_000, "flat ");
const packers = {
  gz: (data: Buffer) => gzipSync(data),
  zst: (data: Buffer) => zstdCompressSync(data, { params: { [constants.ZSTD_c_checksumFlag]: 1 } }),
} as const;

/** Decodes from pieces that are overwritten as soon as the next one is asked for. */
async function decode(format: BuiltInFormat, packed: Buffer, pieceBytes = 60_000): Promise<Buffer> {
  async function* input() {
    const lent = Buffer.alloc(pieceBytes);
    for (let at = 0; at < packed.length; at += pieceBytes) {
      yield lent.subarray(0, packed.copy(lent, 0, at, at + pieceBytes));
      lent.fill(0xff);
    }
  }
  const pieces: Buffer[] = [];
  for await (const piece of decodeBuiltIn(format, input(), "os.img")) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

describe.each(["gz", "zst"] as const)("%s", (format) => {
  const pack = packers[format];

  test("one stream and several, in pieces of any size", async () => {
    expect((await decode(format, pack(noise))).equals(noise)).toBe(true);
    const both = Buffer.concat([pack(noise), pack(flat)]);
    for (const pieceBytes of [997, 1 << 20])
      expect((await decode(format, both, pieceBytes)).equals(Buffer.concat([noise, flat]))).toBe(true);
  });

  test("what is cut off at any place is refused", async () => {
    const packed = Buffer.concat([pack(noise), pack(flat)]);
    const ends = [1, 3, 5, 12, packed.length - pack(noise).length - 1, packed.length - 20];
    for (const cutBytes of ends)
      await expect(decode(format, packed.subarray(0, packed.length - cutBytes))).rejects.toMatchObject({
        code: "image",
      });
  });

  test("a flipped bit is refused", async () => {
    const packed = pack(flat);
    for (let round = 0; round < 20; round += 1) {
      const broken = Buffer.from(packed);
      const at = 12 + random.below(packed.length - 12);
      broken.writeUInt8(broken.readUInt8(at) ^ (1 << random.below(8)), at);
      const decoded = await decode(format, broken).catch((error: unknown) => error);
      if (decoded instanceof Buffer) expect(decoded.equals(flat)).toBe(true);
      else expect(decoded).toMatchObject({ code: "image" });
    }
  });

  test("what follows is refused, and the input's own failure is passed on", async () => {
    await expect(decode(format, Buffer.concat([pack(flat), Buffer.from("garbage")]))).rejects.toMatchObject({
      code: "image",
    });
    async function* failing() {
      yield pack(noise).subarray(0, 1000);
      throw new Error("the server is gone");
    }
    const all = async () => {
      for await (const _ of decodeBuiltIn(format, failing(), "os.img"));
    };
    await expect(all()).rejects.toThrow(/server is gone|cannot be decoded/);
  });
});
