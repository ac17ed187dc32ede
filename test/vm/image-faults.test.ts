/**
 * Disks that lie, fail or shrink, below a signed image with a block map: whatever they do, a disk boots only if it holds the
 * image. One machine reimages several of them, one after the other.
 */
import { afterAll, beforeAll, expect } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { contentByte, type FaultImages, faultDiskMiB, makeFaultImages } from "../support/fault-image.ts";
import { startFaultMachine, startFaultyDisk } from "../support/fault-machine.ts";
import { expectHolds, expectPartial } from "../support/fault-outcome.ts";
import { bootTimeoutMs } from "../support/kiosk-vm.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { decays, losesWrites, wraps } from "../support/lying-disks.ts";
import { machineTest } from "../support/machine-test.ts";
import { type DiskFaults, touches } from "../support/nbd-disk.ts";
import { createEmptyDisk, diskName, type VmDisk } from "../support/vm-disk.ts";

const MiB = 1 << 20;
const eio = 5;
const unreadable = /EIO|input\/output error/i;

let made: TemporaryDirectory;
let images: FaultImages;
const at = (name: string): string => join(made.dir, name);

beforeAll(async () => {
  made = await temporaryDirectory();
  images = await makeFaultImages(made.dir);
}, bootTimeoutMs);
afterAll(async () => await made[Symbol.asyncDispose]());

const onceMore = /they are written once more/;

machineTest("a disk that lies is found out: what is lost once is written again, what is lost again fails", async () => {
  await using stack = new AsyncDisposableStack();
  const start = async (...args: [string, Parameters<typeof startFaultyDisk>[2]?]) =>
    stack.use(await startFaultyDisk(made.dir, ...args));
  const honest = await start("HONEST");
  const lostOnce = await start("LOST-ONCE", losesWrites(contentByte, 1));
  const lostPlain = await start("LOST-PLAIN", losesWrites(contentByte, 1));
  const lost = await start("LOST", losesWrites(contentByte, Number.POSITIVE_INFINITY));
  const decaying = await start("DECAYS", (disk) => decays(disk, contentByte));
  const forged = await start("FORGED", (disk) => wraps(disk, 18 * MiB));
  const disks = [honest, lostOnce, lostPlain, lost, decaying, forged];
  await using machine = await startFaultMachine(
    images,
    disks.map(({ disk }) => disk),
  );

  const wellDone = await machine.run("HONEST");
  await expectHolds(images, honest, wellDone);
  expect(wellDone.report.warnings).toEqual([]);

  const again = await machine.run("LOST-ONCE");
  await expectHolds(images, lostOnce, again);
  expect(again.report.warnings.join()).toMatch(onceMore);

  const plainAgain = await machine.run("LOST-PLAIN", { image: "plain" });
  await expectHolds(images, lostPlain, plainAgain);
  expect(plainAgain.report.warnings.join()).toMatch(onceMore);

  const decayed = await machine.run("DECAYS");
  await expectHolds(images, decaying, decayed);
  expect(decayed.report.warnings.join()).toMatch(onceMore);

  const failed = await machine.run("LOST");
  expectPartial(failed, lost.nbd.content, { code: "readback", says: /\/dev\/vd\w .*12582912 to 16777216/ });
  expect(failed.report.warnings.join()).toMatch(onceMore);

  const wrapped = await machine.run("FORGED");
  expectPartial(wrapped, forged.nbd.content, { code: "readback", says: /\/dev\/vd\w/ });
});

machineTest("a disk that only claims to zero itself is found out by samples, and zeros are written to it", async () => {
  await using stack = new AsyncDisposableStack();
  const zeroesNothing: DiskFaults = { zero: () => "ignored" };
  const lazy = stack.use(await startFaultyDisk(made.dir, "LAZY", zeroesNothing));
  const lazyPlain = stack.use(await startFaultyDisk(made.dir, "LAZY-PLAIN", zeroesNothing));
  const unable = stack.use(await startFaultyDisk(made.dir, "UNABLE", { zero: () => "failed" }));
  await using machine = await startFaultMachine(images, [lazy.disk, lazyPlain.disk, unable.disk]);

  const done = await machine.run("LAZY");
  await expectHolds(images, lazy, done);
  expect(done.report.warnings.join()).toMatch(/does not read as zero where it was told to clear itself/);

  const plain = await machine.run("LAZY-PLAIN", { image: "plain" });
  await expectHolds(images, lazyPlain, plain);
  expect(plain.report.warnings.join()).toMatch(onceMore);

  await expectHolds(images, unable, await machine.run("UNABLE")); // the kernel writes zeros instead
});

machineTest(
  "errors of the disk below a signed image: named with the byte, partial, and the machine stays up",
  async () => {
    const blank = (serial: string, failing?: NonNullable<VmDisk["failing"]>): VmDisk => {
      createEmptyDisk(at(`${serial}.img`), faultDiskMiB);
      const disk = { file: at(`${serial}.img`), format: "raw", bus: "virtio", serial } as const;
      return failing === undefined ? disk : { ...disk, failing };
    };
    /** The commit fails: whatever has content in the first MiB. */
    const isCommit = (offsetBytes: number, data: Buffer) => offsetBytes < MiB && data.some((byte) => byte !== 0);
    await using head = await startFaultyDisk(made.dir, "COMMIT", {
      write: (offsetBytes, data) => (isCommit(offsetBytes, data) ? "failed" : "done"),
    });
    /** What it has taken in it never puts on its medium; that shows when the body of the image is to be there. */
    await using volatile = await startFaultyDisk(made.dir, "FLUSH", ({ content }) => ({
      flush: () => (content.readUInt8(contentByte) === images.content.readUInt8(contentByte) ? "failed" : "done"),
    }));
    const disks = [
      blank("SHRINKS"),
      blank("WRITE", { access: "write", atByte: contentByte, errno: eio }),
      blank("READ", { access: "read", atByte: contentByte, errno: eio }),
      volatile.disk,
      head.disk,
    ];
    await using machine = await startFaultMachine(images, disks);
    const contentOf = (serial: string) => readFileSync(at(`${serial}.img`));

    for (const [serial, verb] of [
      ["WRITE", "writing"],
      ["READ", "reading"],
    ] as const) {
      const run = await machine.run(serial);
      expectPartial(run, contentOf(serial), { code: "device-io", says: unreadable });
      const [, byte] = new RegExp(`${verb} /dev/vd\\w at byte (\\d+)`).exec(run.report.reason ?? "") ?? [];
      expect(touches(Number(byte), 4 * MiB, contentByte)).toBe(true);
    }
    const flush = await machine.run("FLUSH");
    expectPartial(flush, volatile.nbd.content, { code: "device-io", says: /syncing \/dev\/vd\w .*(EIO|i\/o error)/i });

    const commit = await machine.run("COMMIT");
    expectPartial(commit, head.nbd.content, { code: "device-io", stage: "restore", says: /\/dev\/vd\w/ });
    expect(commit.report.reason).toMatch(unreadable);

    const leftMiB = 13;
    const shrunk = await machine.run("SHRINKS", {
      beside: `until grep -q '"state":"partial"' $work/events.ndjson; do :; done
kill -STOP $(pidof reimage); echo reimage-is-stopped >/dev/ttyS0
until [ $(cat /sys/block/$disk/size) = ${leftMiB * 2048} ]; do sleep 0.1; done
kill -CONT $(pidof reimage)`,
      when: {
        says: /reimage-is-stopped/,
        act: () => machine.vm.qmp("block_resize", { "node-name": diskName(1), size: leftMiB * MiB }),
      },
    });
    expectPartial(shrunk, contentOf("SHRINKS"), {
      code: "device-io",
      says: /writing (zeros to )?\/dev\/vd\w at byte \d+/,
    });
    expect(await machine.shell.must("cat /proc/uptime")).toMatch(/^\d/); // it stays up
  },
);
