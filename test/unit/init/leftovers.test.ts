import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasSucceeded } from "../../../src/init/left-behind.ts";
import { parseStat, selectLeftovers } from "../../../src/init/leftovers.ts";
import { readLeftTarget } from "../../../src/stages/state.ts";

describe("parseStat", () => {
  test("a command may hold spaces and parentheses", () => {
    expect(parseStat("93 (a) S (b) 1) R 1 93 7 0 -1 4194560 117 0 0 0 5 6")).toEqual({
      pid: 93,
      parent: 1,
      session: 7,
      state: "R",
    });
  });
});

describe("selectLeftovers", () => {
  const process = (pid: number, parent: number, session: number, state = "S") => ({ pid, parent, session, state });

  test("takes what an earlier instance started, and neither the bootstrap, nor itself, nor shells", () => {
    const bootstrap = process(1, 0, 0);
    const self = process(300, 1, 0, "R");
    const orphanedDecoder = process(120, 1, 0);
    const itsChild = process(121, 120, 0);
    const ended = process(122, 1, 0, "Z");
    const shellLoop = process(105, 1, 104);
    const shell = process(106, 105, 106);
    const all = [bootstrap, self, orphanedDecoder, itsChild, ended, shellLoop, shell];
    expect(selectLeftovers(all, self)).toEqual([120, 121]);
  });
});

describe("what an earlier process left in the work directory", () => {
  function withFiles(files: Record<string, string>, check: (workDir: string) => void): void {
    const workDir = mkdtempSync(join(tmpdir(), "reimage-left-"));
    try {
      for (const [name, text] of Object.entries(files)) writeFileSync(join(workDir, name), text);
      check(workDir);
    } finally {
      rmSync(workDir, { recursive: true });
    }
  }

  test("nothing: the target is untouched and the run has not ended", () => {
    withFiles({}, (workDir) => {
      expect([readLeftTarget(workDir), hasSucceeded(workDir)]).toEqual(["untouched", false]);
    });
  });

  test("a state that cannot be read counts as partial", () => {
    withFiles({ "state.json": "{" }, (workDir) => expect(readLeftTarget(workDir)).toBe("partial"));
    withFiles({ "state.json": "{}" }, (workDir) => expect(readLeftTarget(workDir)).toBe("partial"));
  });

  test("the target of the state", () => {
    withFiles({ "state.json": '{"target":"complete"}' }, (workDir) => expect(readLeftTarget(workDir)).toBe("complete"));
  });

  test("only a report of success is one", () => {
    withFiles({ "report.json": '{"outcome":"success"}' }, (workDir) => expect(hasSucceeded(workDir)).toBe(true));
    withFiles({ "report.json": '{"outcome":"failed"}' }, (workDir) => expect(hasSucceeded(workDir)).toBe(false));
    withFiles({ "report.json": '{"outcome":"succ' }, (workDir) => expect(hasSucceeded(workDir)).toBe(false));
  });
});
