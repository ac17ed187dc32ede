/** `arm` and `disarm` killed at many instants: the disk boots the old system or the lifeboat, and everything can be taken back. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readKeptNote } from "../../src/arming/kept-note.ts";
import type { PlaceKind } from "../../src/lifeboat/places/place.ts";
import { refuseSwapPage } from "../../src/lifeboat/places/swap-area.ts";
import type { ArmableDisk, ArmImage } from "../support/armable-disk.ts";
import { isSwapOn, makeArmImage, openArmable } from "../support/armable-disk.ts";
import type { CliProcess } from "../support/cli.ts";
import { runTestCommand } from "../support/loop-device.ts";
import { readRaw } from "../support/old-disk.ts";

const timeoutMs = 600_000;
let image: ArmImage;
beforeAll(async () => {
  image = await makeArmImage();
}, timeoutMs);
afterAll(() => image[Symbol.asyncDispose]());

const sector = async ({ disk }: ArmableDisk): Promise<string> =>
  (await readRaw(disk.path, { offsetBytes: 0, sizeBytes: 4096 })).toString("hex", 0, 512);

/** Kills the program after so many milliseconds. @returns whether it was in time */
async function killAfter(process: CliProcess, delayMs: number): Promise<boolean> {
  await Promise.race([sleep(delayMs), process.finished]);
  process.kill();
  return (await process.finished).signal !== null;
}

/** How long a whole call takes on this computer now. */
async function timeOf(call: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await call();
  return performance.now() - start;
}

/** Instants of a call that takes so long, `count` of them and then again until enough has been seen; at most 4 times. */
function* instants(wholeMs: number, count: number, isEnough: () => boolean): Generator<number> {
  for (let i = 0; i < count || (i < 4 * count && !isEnough()); i += 1) {
    yield (wholeMs * ((i % count) + 1)) / (count - 1);
  }
}

test.each(["gap", "swap", "file"] as const)(
  "%s: arming is killed: old system or lifeboat, and disarming cleans up",
  async (place: PlaceKind) => {
    await using armable = await openArmable(image, { place });
    const file = join(armable.root, ".reimage-lifeboat");
    if (place === "swap") await runTestCommand(["swapon", armable.swap]);
    const old = await sector(armable);
    const wholeMs = await timeOf(() => armable.arm());
    expect(await armable.disarm()).toMatchObject({ exitCode: 0 });
    const seen = { killed: 0, noted: 0, lifeboat: 0 };
    const isEnough = (): boolean => seen.killed > 3 && seen.noted > 1;
    for (const delayMs of instants(wholeMs, 16, isEnough)) {
      seen.killed += Number(await killAfter(armable.startArm(), delayMs));
      const found = await sector(armable);
      const note = readKeptNote(armable.stateDir);
      if (note?.kind === "lifeboat") {
        seen.noted += 1;
        expect([note.switching.oldSector, note.switching.lifeboatSector]).toContain(
          Buffer.from(found, "hex").toString("base64"),
        );
      }
      if (found !== old) {
        // Only what is whole and noted is switched to.
        seen.lifeboat += 1;
        expect(await armable.statusData()).toMatchObject({ armed: true, state: "armed" });
      } else if (place === "swap" && note === null) {
        const { startBytes } = (await armable.disk.read()).partitions[1] ?? { startBytes: 0 };
        expect(
          refuseSwapPage(await readRaw(armable.disk.path, { offsetBytes: startBytes, sizeBytes: 4096 })),
        ).toBeNull();
        if (!isSwapOn(armable.swap)) await runTestCommand(["swapon", armable.swap]); // as a restart does
      }
      if (note !== null) expect(await armable.arm()).toMatchObject({ exitCode: 3 });
      expect(await armable.disarm()).toMatchObject({ exitCode: 0 });
      expect(readKeptNote(armable.stateDir)).toBeNull();
      expect(await sector(armable)).toBe(old);
      const mounts = readFileSync("/proc/mounts", "utf8").split("\n");
      expect(mounts.filter((line) => line.startsWith(`${armable.disk.partition(1)} `))).toHaveLength(1);
      if (place === "swap") expect(isSwapOn(armable.swap)).toBe(true);
      if (note !== null) expect(existsSync(file)).toBe(false);
    }
    expect(seen.killed).toBeGreaterThan(3);
    expect(seen.noted).toBeGreaterThan(1);
    // Whatever was left where there was no note is taken by the next one.
    expect(await armable.arm()).toMatchObject({ exitCode: 0 });
    expect(await armable.disarm()).toMatchObject({ exitCode: 0 });
    expect(existsSync(file)).toBe(false);
  },
  timeoutMs,
);

test.each(["gap", "swap", "file"] as const)(
  "%s: disarming is killed: disarming again does the rest",
  async (place: PlaceKind) => {
    await using armable = await openArmable(image, { place });
    if (place === "swap") await runTestCommand(["swapon", armable.swap]);
    const old = await sector(armable);
    expect(await armable.arm()).toMatchObject({ exitCode: 0 });
    const lifeboat = await sector(armable);
    const wholeMs = await timeOf(() => armable.disarm());
    let killed = 0;
    for (const delayMs of instants(wholeMs, 12, () => killed > 3)) {
      expect(await armable.arm()).toMatchObject({ exitCode: 0 });
      const { switching } = readKeptNote(armable.stateDir) as { switching: { lifeboatSector: string } };
      killed += Number(await killAfter(armable.startDisarm(), delayMs));
      const found = Buffer.from(await sector(armable), "hex").toString("base64");
      expect([switching.lifeboatSector, Buffer.from(old, "hex").toString("base64")]).toContain(found);
      // While it leads to the lifeboat, the lifeboat is whole.
      if (found === switching.lifeboatSector) expect(await armable.statusData()).toMatchObject({ armed: true });
      expect(await armable.disarm()).toMatchObject({ exitCode: 0 });
      expect(await sector(armable)).toBe(old);
      expect(existsSync(join(armable.root, ".reimage-lifeboat"))).toBe(false);
      if (place === "swap") expect(isSwapOn(armable.swap)).toBe(true);
    }
    expect(lifeboat).not.toBe(old);
    expect(killed).toBeGreaterThan(3);
  },
  timeoutMs,
);
