import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ReimageError } from "../../../src/errors.ts";
import type { Event, EventBody } from "../../../src/report/events.ts";
import { createLogSink } from "../../../src/report/log.ts";
import { createNdjsonSink, parseEvents, readEvents, readLastSeq } from "../../../src/report/ndjson.ts";
import { buildReport, timingsOf, writeReport } from "../../../src/report/report-json.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "reimage-report-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** An event at a second of the run. */
function at(seconds: number, body: EventBody, seq = 1): Event {
  return { ...body, seq, time: new Date(seconds * 1000).toISOString() };
}

const step = (seq: number): Event => at(0, { type: "step", stage: "save", message: `step ${seq}\nöß` }, seq);

describe("events.ndjson", () => {
  test("what is appended comes back, over several processes", () => {
    const path = join(directory, "events.ndjson");
    expect(readLastSeq(path)).toBe(0);
    createNdjsonSink(path).receive(step(1));
    const second = createNdjsonSink(path);
    second.receive(step(2));
    second.receive(step(3));
    expect(readEvents(path)).toEqual([step(1), step(2), step(3)]);
    expect(readLastSeq(path)).toBe(3);
  });

  test("a line cut by a kill at any byte costs that event and no other", () => {
    const path = join(directory, "events.ndjson");
    const whole = `${JSON.stringify(step(1))}\n${JSON.stringify(step(2))}\n`;
    const firstEnds = whole.indexOf("\n") + 1;
    for (let length = firstEnds; length < whole.length - 1; length++) {
      writeFileSync(path, whole.slice(0, length));
      expect(readLastSeq(path)).toBe(1);
      createNdjsonSink(path).receive(step(2));
      expect(readEvents(path)).toEqual([step(1), step(2)]);
    }
  });

  test("a line cut while the process lives on is ended before the next", () => {
    const path = join(directory, "events.ndjson");
    const sink = createNdjsonSink(path);
    sink.receive(step(1));
    rmSync(path);
    mkdirSync(path); // a directory in its place makes the write fail
    expect(() => sink.receive(step(2))).toThrow();
    rmSync(path, { recursive: true });
    writeFileSync(path, '{"type":"st');
    sink.receive(step(3));
    expect(readEvents(path)).toEqual([step(3)]);
  });

  test("only its owner may read it", () => {
    const path = join(directory, "events.ndjson");
    createNdjsonSink(path).receive(step(1));
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("text that is no event is left out", () => {
    expect(parseEvents('null\n5\n"x"\n{"seq":"1"}\n{"seq":1.5}\n[]\n{}\n\n')).toEqual([]);
  });
});

describe("reimage.log", () => {
  test("reads like the run; a message of several lines is indented", () => {
    const path = join(directory, "reimage.log");
    const log = createLogSink(path);
    log.receive(at(0, { type: "run-started", version: "0.1.0", restarted: false }));
    log.receive(at(1, { type: "stage-started", stage: "save" }));
    log.receive(at(2, { type: "detail", stage: "save", message: "644\troot\troot\t/etc/a\n600\troot\troot\t/etc/b" }));
    for (let i = 0; i <= 40; i++) {
      const progress = {
        type: "progress",
        stage: "save",
        what: "copying",
        doneBytes: i * 1024,
        totalBytes: 40 * 1024,
      } as const;
      log.receive(at(3 + i / 40, progress));
    }
    log.receive(at(9, { type: "target-state", state: "untouched" }));
    log.receive(at(9, { type: "warning", stage: "save", message: "careful" }));
    const lines = readFileSync(path, "utf8").split("\n");
    expect(lines.slice(0, 4)).toEqual([
      "1970-01-01T00:00:00.000Z reimage 0.1.0",
      "1970-01-01T00:00:01.000Z [save] begins",
      "1970-01-01T00:00:02.000Z [save] 644\troot\troot\t/etc/a",
      "    600\troot\troot\t/etc/b",
    ]);
    expect(lines.filter((line) => line.includes("copying")).length).toBe(11);
    expect(lines.slice(-2)).toEqual(["1970-01-01T00:00:09.000Z [save] WARNING: careful", ""]);
  });
});

describe("report.json", () => {
  const disk = { path: "/dev/sda", sizeBytes: 5e11, sectorSizeBytes: 512, serial: "S1", wwn: null, model: "Disk" };
  const events: Event[] = [
    at(0, { type: "run-started", version: "0.1.0", restarted: false }),
    at(1, { type: "stage-started", stage: "save" }),
    at(3, { type: "warning", stage: "save", message: "line 3 matches nothing" }),
    at(11, { type: "stage-finished", stage: "save", seconds: 10 }),
    at(12, { type: "stage-started", stage: "write" }),
    at(20, { type: "run-started", version: "0.1.0", restarted: true }),
    at(22, { type: "stage-started", stage: "write" }),
    at(40, { type: "step", stage: "write", message: "writes" }),
  ];

  test("after a failure it holds the reason with its causes, the hint, and the times of a restarted stage", () => {
    const error = new ReimageError("device-io", "writing /dev/sda failed", {
      hint: "replace the disk",
      cause: new Error("EIO"),
    });
    const report = buildReport({
      runId: "0b7c6a1e-9d43-4c6e-9a57-3f2f4f1f0e11",
      ending: { outcome: "failed", stage: "write", target: "partial", error },
      image: { id: "kiosk-7", sha256: "ab" },
      readbackSha256: null,
      retained: { count: 3, bytes: 99, missing: ["/etc/none"], failures: [{ path: "/a", reason: "gone" }] },
      disk,
      events,
    });
    expect(report).toEqual({
      schemaVersion: 1,
      runId: "0b7c6a1e-9d43-4c6e-9a57-3f2f4f1f0e11",
      outcome: "failed",
      stage: "write",
      target: "partial",
      reason: "writing /dev/sda failed: EIO",
      code: "device-io",
      hint: "replace the disk",
      image: { id: "kiosk-7", sha256: "ab" },
      readback: null,
      retained: { count: 3, bytes: 99, missing: ["/etc/none"], failures: [{ path: "/a", reason: "gone" }] },
      disk,
      timings: {
        startedAt: "1970-01-01T00:00:00.000Z",
        endedAt: "1970-01-01T00:00:40.000Z",
        totalSeconds: 40,
        saveSeconds: 10,
        writeSeconds: 28,
        restoreSeconds: null,
      },
      warnings: ["line 3 matches nothing"],
    });
  });

  test("something unexpected is a bug, and a success has no reason", () => {
    const facts = { runId: null, image: null, readbackSha256: "cd", retained: null, disk, events: [] };
    const failed = buildReport({
      ...facts,
      ending: { outcome: "failed", stage: null, target: "untouched", error: "oops" },
    });
    expect(failed).toMatchObject({ code: "bug", reason: "oops", stage: null, target: "untouched" });
    const done = buildReport({ ...facts, ending: { outcome: "success" } });
    expect(done).toMatchObject({ outcome: "success", target: "complete", stage: "restore", reason: null, code: null });
  });

  test("a clock that was set back gives no negative times", () => {
    expect(timingsOf([step(1), at(-5, { type: "stage-started", stage: "save" })]).totalSeconds).toBe(0);
  });

  test("a written report replaces the one before and leaves nothing beside it", () => {
    const path = join(directory, "report.json");
    appendFileSync(path, "old and longer ".repeat(1000));
    const report = buildReport({
      runId: null,
      ending: { outcome: "success" },
      image: null,
      readbackSha256: null,
      retained: null,
      disk: null,
      events: [],
    });
    writeReport(path, report);
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual(report);
    expect(readdirSync(directory)).toEqual(["report.json"]);
  });

  test("a report that cannot be written leaves the old one whole, and says so", () => {
    const path = join(directory, "report.json");
    writeFileSync(path, "old");
    mkdirSync(`${path}.new`);
    expect(() => writeReport(path, {} as never)).toThrow();
    expect(readFileSync(path, "utf8")).toBe("old");
  });
});
