/** What others do while a machine is armed: another reimage, and a boot loader that is installed. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, existsSync, openSync, readdirSync, readlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { holdStateDir, readKeptNote } from "../../src/arming/kept-note.ts";
import { armInProcess } from "../support/arm-in-process.ts";
import { type ArmImage, isSwapOn, makeArmImage, openArmable } from "../support/armable-disk.ts";
import { runTestCommand } from "../support/loop-device.ts";
import { readRaw } from "../support/old-disk.ts";
import { refusalOf } from "../support/refusal-of.ts";

const timeoutMs = 180_000;
let image: ArmImage;
beforeAll(async () => {
  image = await makeArmImage();
}, timeoutMs);
afterAll(() => image[Symbol.asyncDispose]());

/** Devices and the lifeboat's file, as this process has them open. */
function openDevices(): string[] {
  const names = readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return []; // the one that lists them
    }
  });
  return names.filter((name) => /^\/dev\/(loop|\.reimage)|\.reimage-lifeboat/.test(name));
}

const busy = /another reimage is arming or disarming this machine[\s\S]*what to do: /;

test(
  "while a machine is being armed nobody disarms it, or arms it too",
  async () => {
    await using armable = await openArmable(image, { place: "gap" });
    const arming = armable.startArm();
    while (readKeptNote(armable.stateDir) === null) await sleep(5);
    process.kill(arming.pid, "SIGSTOP");
    for (const call of [armable.disarm, armable.arm]) {
      const { exitCode, stderr } = await call();
      expect(stderr).toMatch(busy);
      expect(exitCode).not.toBe(0);
    }
    expect(readKeptNote(armable.stateDir)).not.toBeNull();
    process.kill(arming.pid, "SIGCONT");
    expect(await arming.finished).toMatchObject({ exitCode: 0 });
    expect(await armable.statusData()).toMatchObject({ armed: true });
    {
      await using _held = await holdStateDir(armable.stateDir);
      expect((await armable.disarm()).stderr).toMatch(busy);
    }
    expect(await armable.disarm()).toMatchObject({ exitCode: 0 });
  },
  timeoutMs,
);

test.each(["gap", "swap", "file"] as const)(
  "%s: once it is armed, nothing is held open any more",
  async (place) => {
    await using armable = await openArmable(image, { place });
    const boot = { firmware: "bios", espUuid: null, loaderPaths: [], loaderPath: null } as const;
    await armInProcess(armable, { only: place, boot });
    // The runtime ends a program in failure where it finds a file that nobody has closed.
    expect(openDevices()).toEqual([]);
    expect(await armable.disarm()).toMatchObject({ exitCode: 0 });
  },
  timeoutMs,
);

test.each([
  ["dos", "gap", 100, { firmware: "bios", espUuid: null, loaderPaths: [], loaderPath: null }],
  ["dos", "swap", 100, { firmware: "bios", espUuid: null, loaderPaths: [], loaderPath: null }],
  ["gpt", "file", 512 + 24, { firmware: "uefi", espUuid: null, loaderPaths: [], loaderPath: null }],
] as const)(
  "%s, %s: what somebody writes to the boot sector while the lifeboat is filled stays, and nothing is armed",
  async (table, place, atByte, boot) => {
    await using armable = await openArmable(image, { place, table });
    if (place === "swap") await runTestCommand(["swapon", armable.swap]);
    const { path } = armable.disk;
    const head = async () => (await readRaw(path, { offsetBytes: 0, sizeBytes: 1 << 20 })).toString("hex");
    const changes: number[] = [];
    const onStep = (message: string) => {
      if (!message.includes("reading the lifeboat back")) return;
      const fd = openSync(path, "rs+"); // O_SYNC
      writeSync(fd, Buffer.from([0xb0, 0x07]), 0, 2, atByte);
      closeSync(fd);
      changes.push(atByte);
    };
    const before = await head();
    const refused = await refusalOf(armInProcess(armable, { only: place, boot, onStep }));
    expect(refused.message).toMatch(/somebody has changed the boot sector/);
    expect(changes).toEqual([atByte]);
    const at = 2 * atByte;
    expect(await head()).toBe(`${before.slice(0, at)}b007${before.slice(at + 4)}`);
    expect(readKeptNote(armable.stateDir)).toBeNull();
    expect(existsSync(join(armable.root, ".reimage-lifeboat"))).toBe(false);
    expect(isSwapOn(armable.swap)).toBe(place === "swap");
  },
  timeoutMs,
);
