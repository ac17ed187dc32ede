import { describe, expect, test } from "bun:test";
import { askInstruction, parseInstruction } from "../../../src/control/client/instructions.ts";
import { askPermission, type PermissionOptions } from "../../../src/control/client/permission.ts";
import { Refusal } from "../../../src/control/client/refusal.ts";
import type { Instruction, InstructionRequest } from "../../../src/control/protocol/run.ts";
import { parseBootInfo } from "../../../src/disk/boot-info.ts";
import { ReimageError } from "../../../src/errors.ts";

const runId = "0b7c6a1e-9d43-4c6e-9a57-3f2f4f1f0e11";
const before = "1b7c6a1e-9d43-4c6e-9a57-3f2f4f1f0e11";
const image = { id: "os-2", url: null, sha256: null };
const yes: Instruction = { action: "reinstall", attempt: 1, mostAttempts: 3, image, bootInfo: null };

/** Asks, and is answered one after the other. */
function asking(answers: readonly Instruction[], more: Partial<PermissionOptions> = {}) {
  const steps: string[] = [];
  const requests: InstructionRequest[] = [];
  let sleptMs = 0;
  const options: PermissionOptions = {
    runId,
    emit: (event) => void (event.type === "step" && steps.push(event.message)),
    async ask(request) {
      const answer = answers[requests.length];
      requests.push(request);
      if (answer === undefined) throw new Error("asked too often");
      return answer;
    },
    sendReport: async () => "its report was sent",
    requireNotAborted: () => {},
    async sleep(ms) {
      sleptMs += ms;
    },
    onRescue: () => void steps.push("rescue"),
    ...more,
  };
  return { options, steps, requests, sleptMs: () => sleptMs };
}
const standing = { bootInfo: null, isDiskNamed: false };
const refusal = (says: RegExp) =>
  expect.objectContaining({ code: "control", message: expect.stringMatching(says), hint: expect.any(String) });

describe("permission", () => {
  test("a yes, and what was said when it was asked for", async () => {
    const { options, requests } = asking([yes]);
    const bootInfo = parseBootInfo(JSON.stringify({ image_id: "os-1", run_id: before, cmdline: "x".repeat(5000) }));
    expect(await askPermission({ bootInfo, isDiskNamed: true }, options)).toEqual(yes as never);
    expect(requests).toMatchObject([
      { runId, isDiskNamed: true, installed: { runId: before }, bootInfo: { image_id: "os-1" } },
    ]);
    expect(requests[0]?.bootInfo?.cmdline).toHaveLength(4096);
  });

  test.each([
    [{ action: "boot-local", reason: "nobody wants it" }, /nobody wants it/, []],
    [{ action: "rescue", reason: "3 attempts have failed" }, /3 attempts have failed/, ["rescue"]],
    [{ action: "report-and-boot-local", runId: before }, /its report was sent/, []],
  ] as const)("%j is a no", async (answer, says, steps) => {
    const asked = asking([answer]);
    expect(await askPermission(standing, asked.options).catch((error) => error)).toEqual(refusal(says));
    expect(asked.steps).toEqual([...steps]);
  });

  test("waits as long as it is told to, shows that it is alive, and asks again", async () => {
    const asked = asking([
      { action: "wait", afterSeconds: 100, reason: "not due" },
      { action: "wait", afterSeconds: 1e9, reason: "not due" },
      { action: "wait", afterSeconds: -5, reason: "not due" },
      yes,
    ]);
    expect(await askPermission(standing, asked.options)).toEqual(yes as never);
    expect(asked.sleptMs()).toBe((100 + 900 + 1) * 1000);
    expect(asked.steps.filter((step) => step.startsWith("waiting, "))).toHaveLength(2 + 20);
  });

  test("an abort ends the wait", async () => {
    let seconds = 0;
    const asked = asking([{ action: "wait", afterSeconds: 100, reason: "not due" }], {
      async sleep() {
        seconds += 1;
      },
      requireNotAborted: () => {
        if (seconds === 7) throw new ReimageError("aborted", "no");
      },
    });
    expect(await askPermission(standing, asked.options).catch((error) => error)).toMatchObject({ code: "aborted" });
    expect(seconds).toBe(7);
  });
});

describe("asking", () => {
  const request = { runId, bootInfo: null, installed: null, isDiskNamed: true };
  const run = async (limitMs: number, answers: readonly (Refusal | unknown)[]) => {
    let nowMs = 0;
    let asked = 0;
    const endpoint = {
      name: "http://e",
      clockAheadMs: () => null,
      async post() {
        const answer = answers[Math.min(asked, answers.length - 1)];
        asked += 1;
        if (answer instanceof Refusal) throw answer;
        return { status: 200, body: answer };
      },
    };
    const options = {
      limitMs,
      nowMs: () => nowMs,
      async sleep(ms: number) {
        nowMs += ms;
      },
      onAgain: () => {},
    };
    const result = await askInstruction(endpoint, "m", request, options).catch((error: unknown) => error);
    return { result, asked, nowMs };
  };
  const away = new Refusal("passing", null, "refuses connections");

  test("again while it cannot be reached, but not for ever", async () => {
    expect(await run(60_000, [away, away, yes])).toEqual({ result: yes, asked: 3, nowMs: 3000 });
    const given = await run(60_000, [away]);
    expect(given.result).toEqual(refusal(/refuses connections/));
    expect(given.nowMs).toBeLessThanOrEqual(60_000);
    expect(await run(0, [away, yes])).toMatchObject({ asked: 1, result: refusal(/refuses connections/) });
  });

  test("not again where that would not help", async () => {
    const lasting = new Refusal("lasting", 401, "answered 401", { hint: "enrol it" });
    expect(await run(60_000, [lasting, yes])).toMatchObject({
      asked: 1,
      result: { code: "control", hint: "enrol it" },
    });
    expect(await run(60_000, [{ action: "format" }, yes])).toMatchObject({ asked: 1, result: { code: "control" } });
  });

  test("Retry-After is waited for, if there is time", async () => {
    const busy = new Refusal("passing", 503, "answered 503", { pauseSeconds: 20 });
    expect(await run(60_000, [busy, yes])).toEqual({ result: yes, asked: 2, nowMs: 20_000 });
    expect(await run(10_000, [busy, yes])).toMatchObject({ asked: 1, result: { code: "control" } });
  });

  test.each(
    [
      ...[null, 7, "yes", [], {}, { action: "reinstall" }, { ...yes, attempt: "1" }, { ...yes, onlyIf: "night" }],
      ...[
        { ...yes, image: { ...image, disk: "sdb" } },
        { ...yes, image: null },
        { action: "wait", reason: "x" },
      ],
      ...[{ action: "report-and-boot-local", runId: "../x" }, { action: ["reinstall"] }],
    ].map((body) => ({ body })),
  )("$body is no instruction", ({ body }) => {
    expect(() => parseInstruction(body, "http://e")).toThrow(refusal(/is not understood/));
  });

  test("what a no has more changes nothing", () => {
    expect(parseInstruction({ action: "boot-local", reason: "x", more: 1 }, "e")).toEqual({
      action: "boot-local",
      reason: "x",
    });
  });
});
