/** What every refusal has in common: exit status 3, the old disk as it was, and words for the operator. */
import { expect } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { ErrorCode } from "../../src/errors.ts";
import type { Event } from "../../src/report/events.ts";
import { readEvents } from "../../src/report/ndjson.ts";
import { type CliOptions, type CliResult, readReport, runCli } from "./cli.ts";
import type { Kiosk } from "./open-kiosk.ts";

/** A run that must be refused, and why. */
export interface Refusal {
  readonly code: ErrorCode;
  /** In the reason: the object, and what is wrong with it. */
  readonly says: string | RegExp;
  /** Where it is noticed; early, if nothing else is said. */
  readonly stage?: "save" | "write";
}

/** Runs `reimage run --yes` in a work directory that holds nothing of an earlier run. */
export async function runAfresh(
  kiosk: Kiosk,
  set: Readonly<Record<string, string>> = {},
  options: CliOptions = {},
): Promise<CliResult> {
  rmSync(kiosk.workDir, { recursive: true, force: true });
  await mkdir(kiosk.workDir);
  return await runCli(["run", "--yes", ...kiosk.arguments, ...settings(set)], options);
}

/** `--set` for each of these keys. */
export function settings(set: Readonly<Record<string, string>>): string[] {
  return Object.entries(set).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
}

/** The events of the last run. */
export function eventsOf(kiosk: Kiosk): Event[] {
  return readEvents(join(kiosk.workDir, "events.ndjson"));
}

/**
 * Checks that a run was refused for that reason, and that it leaves no copy of the image or of the retained files.
 * The caller compares the disk: several refusals can share one comparison only where a failure would name the culprit.
 */
export function expectRefused(kiosk: Kiosk, result: CliResult, { code, says, stage = "save" }: Refusal): void {
  const report = readReport(kiosk.workDir);
  expect(report).toMatchObject({ outcome: "failed", target: "untouched", code, stage });
  expect(String(report.reason)).toMatch(says);
  expect(report.hint).toBeString(); // what to do
  const ending = result.stdout.split("\n").find((line) => line.startsWith("reimage: "));
  expect(ending).toStartWith("reimage: failed");
  expect(ending).toContain("The disk is untouched");
  expect(ending).toContain("What to do: ");
  expect(ending).toMatch(says);
  expect({ exitCode: result.exitCode, stderr: result.stderr }).toEqual({ exitCode: 3, stderr: "" });
  for (const secret of [
    "image",
    "image-plan.json",
    "retained.tar",
    "retained.tar.ndjson",
    "state.json",
    "first-mib",
    "outline",
  ]) {
    expect({ secret, isThere: existsSync(join(kiosk.workDir, secret)) }).toEqual({ secret, isThere: false });
  }
}
