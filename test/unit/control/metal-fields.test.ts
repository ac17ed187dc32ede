/** The three spellings of a field, and the runs that a protocol without names for them speaks of. */
import { describe, expect, test } from "bun:test";
import { z } from "zod";
import type { ReinstallFacts } from "../../../src/control/server/decisions/reinstall-facts.ts";
import { reportProblem } from "../../../src/control/server/decisions/verify-report.ts";
import { abortedRun, attemptOf, reportedRun, runIdOf } from "../../../src/control/server/facades/metal/attempt.ts";
import { foldSpellings, parseBody } from "../../../src/control/server/facades/metal/fields.ts";
import type { OpenReinstall } from "../../../src/control/server/operations/open-reinstall.ts";

test.each([
  ["primarydisk", "primary_disk", "primaryDisk"],
  ["bootloaderid", "bootloader_id", "bootloaderId"],
  ["imageid", "image_id", "imageID"],
])("%s, %s and %s are one field", (one, two, three) => {
  for (const spelling of [one, two, three]) expect(foldSpellings({ [spelling]: "x" })).toEqual({ [one]: "x" });
});

test("two spellings may say the same, and not different things", () => {
  expect(foldSpellings({ image_id: "a", imageid: "a" })).toEqual({ imageid: "a" });
  expect(() => foldSpellings({ image_id: "a", imageid: "b" })).toThrow("imageid is said twice");
});

test("a field called __proto__ is a field", () => {
  expect(Object.keys(foldSpellings(JSON.parse('{"__proto__": {"success": true}}')))).toEqual(["proto"]);
});

test.each(["[]", "null", "1", '"x"', "{", "nothing"])("%s is no body", (text) => {
  expect(() => parseBody(text, z.object({}))).toThrow("JSON");
});

const reinstallId = "7b0d3f5e-8d3c-4d2a-9a53-0f7b7c6a1e11";
const open = (facts: Partial<ReinstallFacts>): OpenReinstall =>
  ({
    row: { id: reinstallId },
    facts: { state: "running", runId: null, earlierRunIds: [], ...facts },
  }) as OpenReinstall;
const [first, second] = [runIdOf(reinstallId, 1), runIdOf(reinstallId, 2)];
const strange = "11111111-2222-4333-8444-555555555555";

describe("the run that is meant", () => {
  test("is named after the reinstallation and a number, always alike", () => {
    expect(first).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(runIdOf(reinstallId, 1)).toBe(first);
    expect(second).not.toBe(first);
  });

  test("is the one under way, until the machine boots again", () => {
    const running = open({ runId: first });
    expect(attemptOf(running, null)).toEqual({ ownRunId: first, nextRunId: second, hasBooted: false });
    expect(abortedRun(attemptOf(running, null), running)).toBe(first);
    expect(abortedRun(attemptOf(running, reinstallId), running)).toBe(second);
    expect(reportedRun(attemptOf(running, reinstallId))).toBe(first); // its report was late
  });

  test("is none before the machine was booted into this reinstallation: a late report of another one does not count", () => {
    const requested = open({ state: "requested" });
    expect(() => reportedRun(attemptOf(requested, null))).toThrow("has not begun");
    expect(() => reportedRun(attemptOf(requested, "another-reinstall"))).toThrow("has not begun");
    expect(reportedRun(attemptOf(requested, reinstallId))).toBe(first);
    expect(abortedRun(attemptOf(requested, null), requested)).toBe(first);
  });

  test("is a new one where an operator has given the attempts again", () => {
    const again = open({ state: "requested", runId: second, earlierRunIds: [first] });
    expect(attemptOf(again, reinstallId)).toMatchObject({ ownRunId: null, nextRunId: runIdOf(reinstallId, 3) });
  });

  test("is never another client's, which has to prove its success by itself", () => {
    const others = open({ runId: strange });
    expect(() => reportedRun(attemptOf(others, null))).toThrow("another client");
    expect(abortedRun(attemptOf(others, null), others)).toBe(strange);
  });
});

describe("a success without a readback", () => {
  const image = { id: "os-2", url: null, sha256: "a".repeat(64), readback: "b".repeat(64), description: "" };
  const report = {
    schemaVersion: 1 as const,
    outcome: "success" as const,
    stage: null,
    target: "complete" as const,
    reason: null,
    image: { id: "os-2", sha256: "" },
    readback: null,
  };

  test("counts from a facade, where the wanted image is there", () => {
    expect(reportProblem(report, image, "facade")).toBeNull();
    expect(reportProblem({ ...report, image: { id: "os-1", sha256: "" } }, image, "facade")).toContain(
      "os-2 was wanted",
    );
    expect(reportProblem({ ...report, target: "partial" }, image, "facade")).toContain("partial");
    expect(reportProblem(report, null, "facade")).toContain("nobody");
  });

  test("does not count from anybody else", () => {
    expect(reportProblem(report, image)).toContain("not read back");
    expect(reportProblem(report, null)).toContain("not read back");
  });
});
