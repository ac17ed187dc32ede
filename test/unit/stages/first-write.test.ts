/** Either a run begins to write, or it is aborted. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { abortFirstWrite, beginWriting, readFirstWrite, requireNotAborted } from "../../../src/stages/first-write.ts";
import { requireAgreed } from "../../../src/stages/overseer.ts";
import { hasEnded, openRunId, readLastRunId } from "../../../src/stages/run-id.ts";

let workDir: string;
beforeEach(() => {
  workDir = mkdtempSync(join(tmpdir(), "reimage-work-"));
});
afterEach(() => rmSync(workDir, { recursive: true }));
const aborted = expect.objectContaining({ code: "aborted", message: expect.stringContaining("wrong machine") });

describe("the first write", () => {
  test("aborted first: never begun, however often it is tried", () => {
    const runId = openRunId(workDir);
    requireNotAborted(workDir, runId);
    expect(readFirstWrite(workDir, runId)).toEqual({ decided: "open" });
    expect(abortFirstWrite(workDir, runId, "wrong machine")).toEqual({ decided: "aborted", reason: "wrong machine" });
    for (let i = 0; i < 2; i++) expect(() => beginWriting(workDir, runId)).toThrow(aborted);
    expect(() => requireNotAborted(workDir, runId)).toThrow(aborted);
    expect(abortFirstWrite(workDir, runId, "again")).toMatchObject({ reason: "wrong machine" });
  });

  test("begun first: never aborted; begun again by the process after it", () => {
    const runId = openRunId(workDir);
    beginWriting(workDir, runId);
    expect(abortFirstWrite(workDir, runId, "wrong machine")).toEqual({ decided: "begun" });
    beginWriting(workDir, runId);
  });

  test("of two processes that try at once, one wins", async () => {
    const module = join(import.meta.dir, "../../../src/stages/first-write.ts");
    for (let i = 0; i < 4; i++) {
      const runId = `0b7c6a1e-9d43-4c6e-9a57-3f2f4f1f0e1${i}`;
      const ready = `while (Date.now() < ${Date.now() + 700});`;
      const begin = `try { m.beginWriting(w, r); console.log("begun") } catch { console.log("aborted") }`;
      const abort = `console.log(m.abortFirstWrite(w, r, "x").decided)`;
      const said = await Promise.all(
        [begin, abort].map(async (what) => {
          const code = `const m = await import(${JSON.stringify(module)}); const [w, r] = ${JSON.stringify([workDir, runId])}; ${ready} ${what}`;
          return (
            await new Response(Bun.spawn([process.execPath, "-e", code], { stdout: "pipe" }).stdout).text()
          ).trim();
        }),
      );
      expect(["begun", "aborted"]).toContain(said[0] ?? "");
      expect(said[1]).toBe(said[0] as string);
    }
  });
});

describe("what a run is called", () => {
  test("stays over its processes, and is another one once it has a report", () => {
    expect(readLastRunId(workDir)).toBeNull();
    const runId = openRunId(workDir);
    expect([openRunId(workDir), readLastRunId(workDir)]).toEqual([runId, runId]);
    abortFirstWrite(workDir, runId, "wrong machine");
    writeFileSync(join(workDir, "report.json"), JSON.stringify({ runId: "another" }));
    expect(openRunId(workDir)).toBe(runId);
    writeFileSync(join(workDir, "report.json"), JSON.stringify({ runId, target: "partial" }));
    expect(hasEnded(workDir, runId)).toBe(true);
    const next = openRunId(workDir);
    expect(next).not.toBe(runId);
    expect(openRunId(workDir)).toBe(next);
    beginWriting(workDir, next);
    expect(readdirSync(workDir).sort()).toEqual([`first-write-${next}`, "report.json", "run-id"]);
  });
});

describe("what was agreed to", () => {
  const judged = { imageId: "os-2", sha256: "a".repeat(64) };
  test("the same image, or anything where nothing was", () => {
    requireAgreed(null, judged);
    requireAgreed({ id: "os-2", sha256: null }, judged);
    requireAgreed({ id: "os-2", sha256: judged.sha256 }, judged);
  });
  test.each([
    { id: "os-3", sha256: null },
    { id: "os-2", sha256: "b".repeat(64) },
  ])("not %j", (agreed) => {
    expect(() => requireAgreed(agreed, judged)).toThrow(expect.objectContaining({ code: "control" }));
  });
});
