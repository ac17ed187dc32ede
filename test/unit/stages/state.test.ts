import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resolveConfig } from "../../../src/config/resolve.ts";
import type { Config } from "../../../src/config/schema.ts";
import type { Disk } from "../../../src/disk/inventory.ts";
import { ReimageError } from "../../../src/errors.ts";
import { keepFile } from "../../../src/stages/keep-file.ts";
import { carryOn } from "../../../src/stages/parking.ts";
import type { Saved } from "../../../src/stages/save.ts";
import {
  changeState,
  forgetRun,
  type RunState,
  readLeftTarget,
  readState,
  writeState,
} from "../../../src/stages/state.ts";

const yaml = "image: { source: /os.img }\nold: { root: LABEL=root }\nnew: { root: 2 }\n";
const parse = (text: string) => resolveConfig(text, "a.yaml", []);
const config: Config = resolveConfig(yaml, "a.yaml", []);
const other: Config = resolveConfig(yaml.replace("/os.img", "/other.img"), "a.yaml", []);
const saved = { image: { sha256: "abc" } } as unknown as Saved;

let workDir: string;
beforeEach(() => {
  workDir = mkdtempSync(join(tmpdir(), "reimage-unit-"));
});
afterEach(() => rmSync(workDir, { recursive: true, force: true }));

/** The state after a process that had come so far. */
function leave(change: Partial<RunState>): RunState {
  const state = { ...readState(workDir, config), ...change };
  writeState(workDir, state);
  return state;
}

describe("what an earlier process left", () => {
  test("nothing: a new run", () => {
    expect(readState(workDir, config)).toMatchObject({ target: "untouched", saved: null, written: null });
    expect(readLeftTarget(workDir)).toBe("untouched");
  });
  test("a run that had saved: it is carried on", () => {
    const left = leave({ saved });
    expect(readState(workDir, config)).toEqual(left);
  });
  test("a run that had begun to write: it is carried on", () => {
    const left = leave({ saved, target: "partial" });
    expect(readState(workDir, config)).toEqual(left);
    expect(readLeftTarget(workDir)).toBe("partial");
  });
  test("a run whose disk is complete: only its end is left to be told", () => {
    const left = leave({ saved, target: "complete" });
    expect(readState(workDir, config)).toEqual(left);
  });
  test("a run that had not saved completely: a new run", () => {
    leave({ saved: null });
    expect(readState(workDir, config)).toMatchObject({ target: "untouched", saved: null });
  });
  test("another configuration of the new OS: it is carried on with that", () => {
    const left = leave({ saved, target: "partial" });
    expect(readState(workDir, resolveConfig(yaml.replace("root: 2", "root: 3"), "a.yaml", []))).toEqual(left);
  });
  test("other servers of the same image, and more patience: it is carried on", () => {
    const one = "{ source: https://a/os.img }";
    const several = one.replace(
      " }",
      ", mirrors: [https://b/os.img], ca: /ca.pem, timeoutSeconds: 50, stallSeconds: 500 }",
    );
    const fromWeb = (image: string) => readState(workDir, parse(yaml.replace("{ source: /os.img }", image)));
    const left: RunState = { ...fromWeb(one), saved, target: "partial" };
    writeState(workDir, left);
    expect(fromWeb(several)).toEqual(left);
  });
  test("another image: a new run while nothing is written, refused afterwards", () => {
    leave({ saved });
    expect(readState(workDir, other)).toMatchObject({ saved: null });
    leave({ saved, target: "partial" });
    expect(() => readState(workDir, other)).toThrow("holds a run with another image, target, old OS or retention list");
  });
  test("something that cannot be read: refused, and the disk counts as partial", () => {
    for (const text of ["", "{", '{"target":']) {
      writeFileSync(join(workDir, "state.json"), text);
      expect(() => readState(workDir, config)).toThrow(ReimageError);
      expect(readLeftTarget(workDir)).toBe("partial");
    }
  });
});

test("a file is replaced whole; one that cannot be kept is an error with a name", () => {
  const path = join(workDir, "first-mib");
  keepFile(path, "one");
  keepFile(path, "two");
  expect(readdirSync(workDir)).toEqual(["first-mib"]);
  mkdirSync(`${path}.new`);
  expect(() => keepFile(path, "three")).toThrow(`${path} cannot be written`);
});

test("forgetting a run leaves its record, and nothing of the old machine", () => {
  const secrets = [
    "state.json",
    "image",
    "retained.tar",
    "retained.tar.ndjson",
    "first-mib",
    "outline",
    "state.json.new",
  ];
  const record = ["events.ndjson", "reimage.log", "report.json", "savedperms"];
  for (const name of [...secrets, ...record]) writeFileSync(join(workDir, name), "x");
  forgetRun(workDir);
  expect(readdirSync(workDir).sort()).toEqual(record);
  expect(existsSync(workDir)).toBe(true);
});

describe("what was restored is gone with what it was restored into", () => {
  const full = { saved, written: {}, restored: { retained: null }, target: "partial" } as unknown as RunState;
  const disk = { path: "/dev/sdz" } as unknown as Disk;

  test("an image that is written anew", () => {
    expect(changeState(full, { written: null })).toMatchObject({ saved, written: null, restored: null });
    expect(changeState(full, { target: "complete" })).toEqual({ ...full, target: "complete" });
  });
  test("a state that was parked, and whose record was not written any more", () => {
    for (const state of ["saved", "writing", "written"] as const)
      expect(carryOn(full, state, disk)).toMatchObject({ written: null, restored: null });
    for (const state of ["restored", "committed"] as const)
      expect(carryOn(full, state, disk)).toMatchObject({ written: {}, restored: { retained: null } });
    expect(carryOn(full, "saved", disk)).toMatchObject({ target: "untouched", saved: { target: disk } });
    expect(carryOn(full, "committed", disk).target).toBe("complete");
  });
});
