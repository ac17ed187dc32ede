/** A process that is killed while it claims, seals or gives back: the next one mends it. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { claimPlace, type PlaceUndo } from "../../src/lifeboat/places/claim.ts";
import { checkPlace, releasePlace } from "../../src/lifeboat/places/release.ts";
import { refuseSwapPage } from "../../src/lifeboat/places/swap-area.ts";
import { makeFileSystem, mountDevice, runTestCommand } from "../support/loop-device.ts";
import { createOldDisk, fillPlace, readRaw } from "../support/old-disk.ts";
import type { PlaceOrder } from "../support/place-and-die.ts";

const MIB = 1 << 20;
const timeoutMs = 180_000;
const NAME = ".reimage-lifeboat";

/** Runs an order and kills it `delayMs` after it has said `after`, or when it has ended. @returns what it said */
async function runAndKill(order: PlaceOrder, after: RegExp, delayMs: number): Promise<string> {
  const program = [process.execPath, resolve("test/support/place-and-die.ts"), JSON.stringify(order)];
  const child = Bun.spawn(program, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  let said = "";
  const heard = Promise.withResolvers<void>();
  const ended = (async () => {
    for await (const piece of child.stdout) {
      said += Buffer.from(piece).toString();
      if (after.test(said)) heard.resolve();
    }
  })();
  await Promise.race([heard.promise, ended]);
  await Promise.race([sleep(delayMs), ended]);
  child.kill("SIGKILL");
  await ended;
  await child.exited;
  return said;
}

const undoOf = (said: string): PlaceUndo | null => {
  const line = /^undo (.+)$/m.exec(said)?.[1];
  return line === undefined ? null : JSON.parse(line);
};

test.each(["ext4", "xfs"] as const)(
  "a file on %s: killed at many instants of claiming, filling and sealing",
  async (type) => {
    await using disk = await createOldDisk(402, "label: dos\nstart=1MiB, size=400MiB, type=83\n");
    await makeFileSystem(disk.partition(1), type);
    await using mount = await mountDevice(disk.partition(1));
    const request = await disk.request(100, 24, 100);
    const { bavail, bsize } = await statfs(mount.dir);
    let sealed = 0;
    let left = 0;
    for (const delayMs of [0, 5, 20, 60, 100, 150, 250, 400, 700, 1500]) {
      const said = await runAndKill({ request }, /started/, delayMs);
      const undo = undoOf(said);
      left += Number(existsSync(join(mount.dir, NAME)));
      // Who has the undo data stored can always give it back, sealed or not; who has not claims again.
      if (undo !== null) {
        if (said.includes("sealed")) {
          expect(await checkPlace(undo)).toBeNull();
          sealed += 1;
        }
        await releasePlace(undo);
      }
      await using place = await claimPlace(request);
      expect(await (await fillPlace(place, disk)).check()).toBe(true);
    }
    const said = await runAndKill({ request }, /sealed/, 0);
    const undo = undoOf(said) as PlaceUndo;
    expect(await checkPlace(undo)).toBeNull();
    for (const delayMs of [0, 1, 3, 10]) await runAndKill({ undo }, /started/, delayMs);
    await releasePlace(undo);
    expect(existsSync(join(mount.dir, NAME))).toBe(false);
    expect(left + sealed).toBeGreaterThan(0); // some were killed in the middle
    await runTestCommand(["sync", "-f", mount.dir]);
    expect(Math.abs((await statfs(mount.dir)).bavail - bavail) * bsize).toBeLessThan(MIB);
  },
  timeoutMs,
);

test(
  "swap: killed at many instants, it is swap space or has its undo data",
  async () => {
    await using disk = await createOldDisk(
      200,
      "label: dos\nstart=1MiB, size=20MiB\nstart=21MiB, size=179MiB, type=82\n",
    );
    const path = disk.partition(2);
    await makeFileSystem(path, "swap");
    const request = await disk.request(30, 24, 100, "swap");
    const isOn = () => readFileSync("/proc/swaps", "utf8").includes(`${path} `);
    try {
      for (const delayMs of [0, 10, 50, 100, 200, 300, 600]) {
        if (!isOn()) await runTestCommand(["swapon", path]);
        const said = await runAndKill({ request }, /started/, delayMs);
        const undo = undoOf(said);
        if (undo === null) {
          const page = await readRaw(disk.path, { offsetBytes: 21 * MIB, sizeBytes: 4096 });
          expect(refuseSwapPage(page)).toBeNull();
        } else {
          await runAndKill({ undo }, /started/, 2);
          await releasePlace(undo);
          expect(isOn()).toBe(true);
        }
      }
    } finally {
      if (isOn()) await runTestCommand(["swapoff", path]);
    }
  },
  timeoutMs,
);

test(
  "two at the same time: the second one does not take the file of the first",
  async () => {
    await using disk = await createOldDisk(202, "label: dos\nstart=1MiB, size=200MiB, type=83\n");
    await makeFileSystem(disk.partition(1), "ext4");
    await using _mount = await mountDevice(disk.partition(1));
    const request = await disk.request(50, 8, 8);
    await using place = await claimPlace(request);
    await expect(claimPlace(request)).rejects.toThrow("is being written by another reimage at this moment");
    await place.sync();
  },
  timeoutMs,
);
