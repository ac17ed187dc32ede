/** The commit, on real devices: the first sector last, and nothing that boots where anything fails. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { ReimageError } from "../../src/errors.ts";
import { clearBootSectors, clearPartitionTable, commitHead } from "../../src/image/commit.ts";
import { diskBytes, firstDifference, oldContent, openDisk, readAll } from "../support/filled-disk.ts";
import { noise } from "../support/make-disk.ts";
import { refusalOf } from "../support/refusal-of.ts";
import { watchDevice } from "../support/watch-device.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const MIB = 1 << 20;
const zeros = (sizeBytes: number) => Buffer.alloc(sizeBytes);
const nothing = () => {};

describe("the commit", () => {
  const head = noise("head", MIB);

  test.each([512, 4096])("writes the first sector of %d bytes last, when the disk has all the rest", async (sector) => {
    await using disk = await openDisk(sector);
    await clearBootSectors(disk.device);
    const operations: string[] = [];
    await commitHead(
      watchDevice(disk.device, (what, offsetBytes, sizeBytes) => {
        operations.push(what === "sync" ? "sync" : `${what} ${offsetBytes}+${sizeBytes}`);
      }),
      head,
    );
    expect(operations).toEqual([
      `write ${sector}+${MIB - sector}`,
      "sync",
      `read 0+${MIB}`,
      `write 0+${sector}`,
      "sync",
      `read 0+${MIB}`,
    ]);
  });

  test("that fails at any operation leaves a disk that does not boot", async () => {
    let failures = 0;
    for (let failAt = 1; ; failAt += 1) {
      await using disk = await openDisk();
      await clearBootSectors(disk.device);
      let count = 0;
      const failing = watchDevice(disk.device, () => {
        count += 1;
        if (count === failAt) throw new ReimageError("device-io", "this operation fails");
      });
      const outcome = await commitHead(failing, head).then(
        () => "committed",
        (error: ReimageError) => error.message,
      );
      if (outcome === "committed") break;
      failures += 1;
      expect(outcome).toBe("this operation fails");
      expect(firstDifference((await readAll(disk.device)).subarray(0, 512), zeros(512))).toBeNull();
    }
    expect(failures).toBe(6);
  });

  test.each([
    ["the first sector", 100],
    ["the rest", 5000],
  ])("whose bytes do not arrive in %s is noticed", async (_where, offsetBytes) => {
    await using disk = await openDisk();
    await clearBootSectors(disk.device);
    // A device that says that it has written, and has not.
    const lying = watchDevice(disk.device, nothing, {
      async writeAt(buffer, at) {
        const copy = Buffer.from(buffer);
        const index = offsetBytes - at;
        const isHit = index >= 0 && index < copy.length && !copy.equals(zeros(copy.length));
        if (isHit) copy.writeUInt8(copy.readUInt8(index) ^ 1, index);
        await disk.device.writeAt(copy, at);
      },
    });
    const refusal = await refusalOf(commitHead(lying, head));
    expect(refusal).toMatchObject({ code: "readback", message: expect.stringContaining(disk.device.path) });
    expect(firstDifference((await readAll(disk.device)).subarray(0, 512), zeros(512))).toBeNull();
  });
});

test("a backup GPT at the end of the disk is cleared, but not what a partition holds there", async () => {
  await using disk = await openDisk();
  const last = Buffer.from(oldContent.subarray(0, 512));
  last.write("EFI PART");
  await disk.device.writeAt(last, diskBytes - 512);
  await disk.device.sync();
  await clearPartitionTable(disk.device, diskBytes);
  expect((await readAll(disk.device)).subarray(-512).equals(last)).toBe(true);
  await clearPartitionTable(disk.device, diskBytes - 512);
  expect((await readAll(disk.device)).subarray(-512).equals(Buffer.alloc(512))).toBe(true);
});
