/** How a run onto a disk that fails may end, and what the disk must hold then. */
import { expect } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import type { ErrorCode } from "../../src/errors.ts";
import { type FaultImages, ownBytes } from "./fault-image.ts";
import type { FaultRun, FaultyDisk } from "./fault-machine.ts";
import { runTestCommand } from "./loop-device.ts";

const MiB = 1 << 20;
const blockBytes = 4096;

/** How a run failed. */
export interface Failure {
  readonly code: ErrorCode;
  /** The stage; `write` unless given. */
  readonly stage?: "write" | "restore";
  readonly says: RegExp;
}

/**
 * Success, and the disk, which was full of 0xFF, holds the image: every byte of what nobody mounts, be it mapped or not, and a
 * sound file system in the new root, in which no block is left over from before.
 */
export async function expectHolds({ content }: FaultImages, { nbd }: FaultyDisk, run: FaultRun): Promise<void> {
  expect({ status: run.status, reason: run.report.reason }).toEqual({ status: 0, reason: null });
  expect(run.report).toMatchObject({ outcome: "success", target: "complete", code: null });
  expect(firstDifference(nbd.content.subarray(0, MiB), content.subarray(0, MiB))).toBeNull();
  const own = nbd.content.subarray(ownBytes, content.length);
  expect(firstDifference(own, content.subarray(ownBytes))).toBeNull();
  const copy = `${nbd.socketPath}.img`;
  writeFileSync(copy, nbd.content);
  await runTestCommand(["e2fsck", "-f", "-n", `${copy}?offset=${MiB}`]);
  rmSync(copy);
  for (let at = MiB; at < ownBytes; at += blockBytes) {
    if (nbd.content.subarray(at, at + blockBytes).every((byte) => byte === 0xff)) {
      throw new Error(`the block at byte ${at} is left over from before`);
    }
  }
}

/** It failed after the first write, and the disk does not boot. @param disk what it holds */
export function expectPartial(run: FaultRun, disk: Uint8Array, { code, stage = "write", says }: Failure): void {
  expect(run.report).toMatchObject({ outcome: "failed", stage, target: "partial", code });
  expect(run.report.reason ?? "").toMatch(says);
  expect(run.output).toMatch(/^reimage: failed.*does not boot/m);
  expect(run.status).toBe(4);
  expect(firstDifference(disk.subarray(0, MiB), Buffer.alloc(MiB))).toBeNull();
}

/** It was refused before the first write. That the disk is as it was is the caller's to compare. */
export function expectRefused(run: FaultRun, { code, says }: Failure): void {
  expect(run.report).toMatchObject({ outcome: "failed", stage: "save", target: "untouched", code });
  expect(run.report.reason ?? "").toMatch(says);
  expect(run.status).toBe(3);
}

/** Where two that are equally long differ first. */
function firstDifference(a: Uint8Array, b: Uint8Array): number | null {
  if (Buffer.compare(a, b) === 0) return null;
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return at < 0 ? Math.min(a.length, b.length) : at;
}
