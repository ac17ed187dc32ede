/** What is true after a run that failed once it had begun to write, and when it is started again. */
import { expect } from "bun:test";
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { type CliResult, readReport, runCli } from "./cli.ts";
import { isStage } from "./following.ts";
import { mountDevice, runTestCommand } from "./loop-device.ts";
import type { Kiosk } from "./open-kiosk.ts";
import { eventsOf, type Refusal } from "./refusals.ts";
import { identity } from "./small-kiosk.ts";

/** The first bytes of the disk. */
function firstSector(kiosk: Kiosk): Buffer {
  const sector = Buffer.alloc(512);
  const fd = openSync(kiosk.loop, "r");
  try {
    readSync(fd, sector, 0, sector.length, 0);
  } finally {
    closeSync(fd);
  }
  return sector;
}

/** The run failed for that reason; the disk does not boot, and what is needed to carry on is there. */
export function expectPartial(kiosk: Kiosk, result: CliResult, { code, says }: Refusal): void {
  const report = readReport(kiosk.workDir);
  expect(report).toMatchObject({ outcome: "failed", target: "partial", code });
  expect(String(report.reason)).toMatch(says);
  expect(report.hint).toBeString();
  const ending = result.stdout.split("\n").find((line) => line.startsWith("reimage: "));
  expect(ending).toStartWith("reimage: failed");
  expect(ending).toContain("does not boot");
  expect(ending).toContain("do not switch the machine off");
  expect(result).toMatchObject({ exitCode: 4, stderr: "" });
  expect(firstSector(kiosk).equals(Buffer.alloc(512))).toBe(true);
  for (const name of ["image", "retained.tar", "retained.tar.ndjson", "state.json"]) {
    expect({ name, isKept: existsSync(join(kiosk.workDir, name)) }).toEqual({ name, isKept: true });
  }
  expect(mountsBelow(kiosk.workDir)).toEqual([]);
}

function mountsBelow(directory: string): string[] {
  const mounts = execFileSync("findmnt", ["--raw", "--noheadings", "--output", "TARGET"], { encoding: "utf8" });
  return mounts.split("\n").filter((path) => path.startsWith(`${directory}/`));
}

/** The same command again, now that the fault is gone: it carries on from memory, and ends well. */
export async function expectFinishes(kiosk: Kiosk, more: readonly string[] = []): Promise<void> {
  const result = await runCli(["run", "--yes", ...kiosk.arguments, ...more]);
  expect(result.stdout).toMatch(/carries on with what is in memory[\s\S]*^reimage: success/m);
  expect(result).toMatchObject({ exitCode: 0, stderr: "" });
  expect(readReport(kiosk.workDir)).toMatchObject({ outcome: "success", target: "complete" });
  expect(eventsOf(kiosk).filter(isStage("stage-started", "save"))).toHaveLength(1);
  await runTestCommand(["e2fsck", "-fn", kiosk.partition(2)]);
  await using root = await mountDevice(kiosk.partition(2), undefined, ["ro"]);
  expect(await Bun.file(join(root.dir, "etc/machine-id")).text()).toBe(identity["/etc/machine-id"]);
}
