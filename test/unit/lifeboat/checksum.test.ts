/** The checksum of a boot volume. */
import { expect, test } from "bun:test";
import { createChecksum } from "../../../src/lifeboat/region-io.ts";
import { createRandom } from "../../support/random.ts";

const random = createRandom(5);
const data = Buffer.from(Array.from({ length: (3 << 20) + 77 }, () => random.below(256)));

function checksumOf(content: Buffer, pieceBytes: number): string {
  const checksum = createChecksum();
  for (let at = 0; at < content.length; at += pieceBytes) checksum.update(content.subarray(at, at + pieceBytes));
  return checksum.finish();
}

test("it is the same whatever pieces the data comes in", () => {
  const whole = checksumOf(data, data.length);
  expect(whole).toMatch(/^[0-9a-f]{16}$/);
  for (const pieceBytes of [4096, 65_536, 1 << 20, (1 << 20) + 1]) expect(checksumOf(data, pieceBytes)).toBe(whole);
});

test("any changed byte, a missing end, and pieces in another order change it", () => {
  const whole = checksumOf(data, data.length);
  for (let round = 0; round < 30; round += 1) {
    const changed = Buffer.from(data);
    const at = random.below(data.length);
    changed.writeUInt8(changed.readUInt8(at) ^ (1 << random.below(8)), at);
    expect(checksumOf(changed, 1 << 20)).not.toBe(whole);
  }
  expect(checksumOf(data.subarray(0, -1), 1 << 20)).not.toBe(whole);
  const [first, second] = [data.subarray(0, 1 << 20), data.subarray(1 << 20, 2 << 20)];
  expect(checksumOf(Buffer.concat([second, first]), 1 << 20)).not.toBe(
    checksumOf(Buffer.concat([first, second]), 1 << 20),
  );
});
