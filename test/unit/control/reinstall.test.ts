/** The state machine of a reinstallation: every state against everything that can happen to it. */
import { describe, expect, test } from "bun:test";
import { type ReinstallState, reinstallStates } from "../../../src/control/protocol/machine.ts";
import type { AbortMessage, InstructionRequest, WireReport } from "../../../src/control/protocol/run.ts";
import {
  decideAbort,
  decideInstruction,
  decideObserved,
  decideReport,
} from "../../../src/control/server/decisions/reinstall.ts";
import {
  bootInState,
  isEnded,
  moreTouched,
  type ReinstallFacts,
} from "../../../src/control/server/decisions/reinstall-facts.ts";
import { createRandom } from "../../support/random.ts";

const now = 1_000_000;
const oldOs = {
  image_id: "os-1",
  primary_disk: "/dev/sda",
  os_partition: "",
  initrd: "",
  cmdline: "",
  kernel: "",
  bootloaderid: "",
};

function facts(change: Partial<ReinstallFacts> = {}): ReinstallFacts {
  return {
    state: "requested",
    target: "untouched",
    attempt: 0,
    mostAttempts: 3,
    nextAttemptAtMs: null,
    runId: null,
    runTarget: "untouched",
    earlierRunIds: [],
    disbelievedRunIds: [],
    foreignRunIds: [],
    image: { id: "os-2", url: null, sha256: null, readback: null, description: "" },
    previousBootInfo: oldOs,
    ...change,
  };
}

const ask = (change: Partial<InstructionRequest> = {}): InstructionRequest => ({
  runId: "run-1",
  bootInfo: oldOs,
  installed: null,
  isDiskNamed: false,
  ...change,
});

const success = (change: Partial<WireReport> = {}) => ({
  runId: "run-1",
  bootInfo: null,
  report: {
    schemaVersion: 1 as const,
    outcome: "success" as const,
    stage: "restore",
    target: "complete" as const,
    reason: null,
    image: { id: "os-2", sha256: "a".repeat(64) },
    readback: "b".repeat(64),
    ...change,
  },
});
const failure = (target: "untouched" | "partial" | "complete") =>
  success({ outcome: "failed" as "success", target: target as "complete", reason: "the disk is faulty" });

const abort = (state: "untouched" | "partial" | "complete", runId = "run-1"): AbortMessage => ({
  runId,
  target: { state, bytesWritten: null, firstLba: null },
  reason: "no",
});

describe("what a machine is told that asks", () => {
  test("without a mark: its disk, and nothing is written", () => {
    expect(decideInstruction(null, ask(), now).instruction.action).toBe("boot-local");
  });

  test("marked: to reinstall, and the attempt is counted and bound to the run", () => {
    const { instruction, transition } = decideInstruction(facts(), ask(), now);
    expect(instruction).toMatchObject({ action: "reinstall", attempt: 1, mostAttempts: 3 });
    expect(transition).toMatchObject({ state: "running", attempt: 1, runId: "run-1", target: "untouched" });
  });

  test("the same run asks again: the same attempt", () => {
    const running = facts({ state: "running", attempt: 1, runId: "run-1" });
    const { instruction, transition } = decideInstruction(running, ask(), now);
    expect(instruction).toMatchObject({ action: "reinstall", attempt: 1 });
    expect(transition).toBeNull();
  });

  test.each(["running", "writing"] as const)("another run in state %s: the next attempt", (state) => {
    const before = facts({ state, target: state === "writing" ? "partial" : "untouched", attempt: 1, runId: "run-0" });
    const { instruction, transition } = decideInstruction(before, ask(), now);
    expect(instruction).toMatchObject({ action: "reinstall", attempt: 2 });
    expect(transition).toMatchObject({ attempt: 2, runId: "run-1", target: before.target });
  });

  test("attempts used up: rescue, and parked", () => {
    const before = facts({ state: "running", attempt: 3, runId: "run-0" });
    const { instruction, transition } = decideInstruction(before, ask(), now);
    expect(instruction.action).toBe("rescue");
    expect(transition?.state).toBe("parked");
    expect(decideInstruction(facts({ state: "parked", attempt: 3 }), ask(), now).instruction.action).toBe("rescue");
  });

  test("not due yet: to wait, for as long as it takes", () => {
    const before = facts({
      state: "waiting",
      target: "partial",
      attempt: 1,
      runId: "run-0",
      nextAttemptAtMs: now + 2500,
    });
    expect(decideInstruction(before, ask(), now)).toMatchObject({
      instruction: { action: "wait", afterSeconds: 3 },
      transition: null,
    });
    expect(decideInstruction(before, ask(), now + 2500).instruction.action).toBe("reinstall");
    expect(decideInstruction(before, ask({ runId: "run-0" }), now).instruction.action).toBe("wait");
  });

  test("not due for longer than anybody is told to wait: the clock was set back, and it is due", () => {
    const before = facts({
      state: "waiting",
      target: "partial",
      attempt: 1,
      runId: "run-0",
      nextAttemptAtMs: now + 30_000,
    });
    expect(decideInstruction(before, ask(), now).instruction.action).toBe("wait");
    expect(decideInstruction(before, ask(), now - 1).instruction.action).toBe("reinstall");
    const late = { ...before, earlierRunIds: ["run-x"] };
    const { answer } = decideAbort(late, abort("partial", "run-x"), "untouched", null, now - 1);
    expect(answer).toEqual({ next: "retry", afterSeconds: 0, attempt: 2 });
  });

  test("an OS whose success was not believed is no OS to report", () => {
    const before = facts({ earlierRunIds: ["run-0"], disbelievedRunIds: ["run-0"] });
    expect(decideInstruction(before, ask({ installed: { runId: "run-0" } }), now).instruction.action).toBe("reinstall");
  });

  test("nobody knows which disk it was: nothing is written, and the mark is taken back", () => {
    const unknown = { ...oldOs, image_id: "", primary_disk: "" };
    for (const bootInfo of [null, unknown]) {
      const { instruction, transition } = decideInstruction(
        facts({ previousBootInfo: bootInfo }),
        ask({ bootInfo }),
        now,
      );
      expect(instruction.action).toBe("boot-local");
      expect(transition?.state).toBe("aborted");
    }
    const named = ask({ bootInfo: null, isDiskNamed: true });
    expect(decideInstruction(facts({ previousBootInfo: null }), named, now).instruction.action).toBe("reinstall");
    const known = ask({ bootInfo: { ...unknown, image_id: "os-1" } });
    expect(decideInstruction(facts({ previousBootInfo: null }), known, now).instruction.action).toBe("reinstall");
  });

  test.each(["requested", "running", "writing", "waiting", "unreported"] as const)(
    "the OS on the disk is this reinstallation's own (%s): report and boot it, never another reimage",
    (state) => {
      const before = facts({ state, target: "partial", attempt: 1, runId: "run-0", earlierRunIds: ["run-x"] });
      for (const runId of ["run-0", "run-x"]) {
        const { instruction, transition } = decideInstruction(before, ask({ installed: { runId } }), now);
        expect(instruction).toEqual({ action: "report-and-boot-local", runId });
        expect(transition).toMatchObject({ state: "unreported", target: "complete" });
      }
    },
  );

  test("complete, and the report is missing: report and boot it", () => {
    const before = facts({ state: "unreported", target: "complete", attempt: 1, runId: "run-0" });
    expect(decideInstruction(before, ask(), now)).toMatchObject({
      instruction: { action: "report-and-boot-local", runId: "run-0" },
      transition: null,
    });
  });

  test("an OS that some other run has installed changes nothing", () => {
    const other = ask({ installed: { runId: "run-of-last-year" } });
    expect(decideInstruction(facts(), other, now).instruction.action).toBe("reinstall");
  });
});

describe("what events say of the disk", () => {
  const running = facts({ state: "running", attempt: 1, runId: "run-1" });

  test("partly written, then complete", () => {
    expect(decideObserved(running, "run-1", "untouched")).toBeNull();
    expect(decideObserved(running, "run-1", "partial")).toMatchObject({ state: "writing", target: "partial" });
    const writing = facts({ state: "writing", target: "partial", attempt: 1, runId: "run-1" });
    expect(decideObserved(writing, "run-1", "partial")).toBeNull();
    expect(decideObserved(writing, "run-1", "complete")).toMatchObject({ state: "unreported", target: "complete" });
  });

  test("a run that writes without having asked is an attempt too", () => {
    expect(decideObserved(facts(), "run-1", "partial")).toMatchObject({ state: "writing", attempt: 1, runId: "run-1" });
  });

  test.each(["running", "writing"] as const)(
    "no run takes the place of one that was told to reinstall (%s)",
    (state) => {
      const before = facts({ state, attempt: 1, runId: "run-1", runTarget: "partial", target: "partial" });
      expect(decideObserved(before, "run-9", "partial")).toBeNull();
      expect(decideReport(before, { ...failure("partial"), runId: "run-9" }, now).transition).toBeNull();
      expect(decideAbort(before, abort("partial", "run-9"), "untouched", null, now).transition).toBeNull();
    },
  );

  test("the next attempt writes to a disk that an earlier one has touched", () => {
    const second = facts({ state: "running", target: "partial", attempt: 2, runId: "run-2", earlierRunIds: ["run-1"] });
    expect(decideObserved(second, "run-2", "partial")).toMatchObject({ state: "writing", target: "partial" });
  });

  test.each(["waiting", "parked"] as const)("complete after all (%s): its report is missing", (state) => {
    const before = facts({ state, target: "partial", attempt: 1, runId: "run-1" });
    expect(decideObserved(before, "run-1", "complete")).toMatchObject({ state: "unreported", target: "complete" });
  });

  test("what is over already is told by its report: complete, of a run that nobody knows, changes nothing", () => {
    expect(decideObserved(facts(), "run-9", "complete")).toBeNull();
    expect(decideAbort(facts({ target: "partial" }), abort("complete", "run-9"), "untouched", null, now)).toEqual({
      answer: { next: "boot-new-os" },
      transition: null,
    });
  });

  test("runs that had begun before this was requested have no say in it", () => {
    const before = facts({ foreignRunIds: ["run-0"] });
    expect(decideObserved(before, "run-0", "partial")).toBeNull();
    expect(decideReport(before, { ...success(), runId: "run-0" }, now)).toMatchObject({
      verdict: "recorded",
      transition: null,
    });
    expect(decideReport(before, { ...failure("partial"), runId: "run-0" }, now).transition).toBeNull();
    expect(decideAbort(before, abort("untouched", "run-0"), "untouched", null, now).transition).toBeNull();
    expect(decideInstruction(before, ask({ runId: "run-0" }), now).instruction.action).toBe("reinstall");
  });

  test("late words of an earlier attempt change nothing", () => {
    const second = facts({ state: "running", attempt: 2, runId: "run-2", earlierRunIds: ["run-1"] });
    expect(decideObserved(second, "run-1", "partial")).toBeNull();
  });

  test.each(["waiting", "parked"] as const)(
    "late events of the attempt that has failed (%s) change nothing",
    (state) => {
      const before = facts({ state, target: "partial", attempt: 1, runId: "run-1", nextAttemptAtMs: now + 1 });
      expect(decideObserved(before, "run-1", "partial")).toBeNull();
    },
  );
});

describe("a report", () => {
  const writing = facts({ state: "writing", target: "partial", attempt: 1, runId: "run-1" });

  test("of success that is proven ends it", () => {
    const decision = decideReport(writing, success(), now);
    expect(decision).toMatchObject({ verdict: "verified", transition: { state: "succeeded", target: "complete" } });
  });

  const unproven: readonly (readonly [string, Partial<WireReport>])[] = [
    ["another image", { image: { id: "os-3", sha256: "a".repeat(64) } }],
    ["no image", { image: null }],
    ["no readback", { readback: null }],
    ["a readback that is no digest", { readback: "yes" }],
    ["a disk that is partly written", { target: "partial" }],
    ["a disk that is untouched", { target: "untouched" }],
  ];
  test.each(unproven)("of success with %s is not believed: an operator has to look", (_what, change) => {
    const decision = decideReport(writing, success(change), now);
    expect(decision.verdict).toBe("unverified");
    expect(decision.transition?.state).toBe("parked");
    expect(decideReport(null, success({ readback: null }), now).verdict).toBe("unverified");
  });

  test("of success is compared with the digests that the image is known by", () => {
    const known = (image: object) => facts({ ...writing, image: { ...writing.image, ...image } });
    expect(decideReport(known({ sha256: "a".repeat(64), readback: "b".repeat(64) }), success(), now).verdict).toBe(
      "verified",
    );
    expect(decideReport(known({ sha256: "c".repeat(64) }), success(), now).verdict).toBe("unverified");
    expect(decideReport(known({ readback: "c".repeat(64) }), success(), now).verdict).toBe("unverified");
  });

  test("that was late is believed, unless another run writes by now", () => {
    const second = { attempt: 2, runId: "run-2", earlierRunIds: ["run-1"] };
    const running = facts({ ...second, state: "running", target: "partial" });
    expect(decideReport(running, success(), now).transition?.state).toBe("succeeded");
    const overwriting = facts({ ...second, state: "writing", target: "partial", runTarget: "partial" });
    expect(decideReport(overwriting, success(), now)).toMatchObject({ verdict: "recorded", transition: null });
  });

  test("of an earlier attempt that does not prove its success parks nobody; nor does one of another image", () => {
    const second = facts({ attempt: 2, runId: "run-2", earlierRunIds: ["run-1"], state: "waiting", target: "partial" });
    const unproven = { verdict: "unverified", transition: null } as const;
    expect(decideReport(second, success({ readback: null }), now)).toMatchObject(unproven);
    const other = { ...success({ image: { id: "os-1", sha256: "a".repeat(64) } }), runId: "run-9" };
    expect(decideReport(facts(), other, now)).toMatchObject({ verdict: "recorded", transition: null });
  });

  test("of a run that has not asked is believed, but not while another one is under way", () => {
    const other = { ...success(), runId: "run-9" };
    expect(decideReport(facts(), other, now).transition?.state).toBe("succeeded");
    const running = facts({ state: "running", attempt: 1, runId: "run-1" });
    expect(decideReport(running, other, now)).toMatchObject({ verdict: "recorded", transition: null });
  });

  test("of failure is recorded where nobody wants anything", () => {
    const decision = decideReport(null, failure("partial"), now);
    expect(decision).toEqual({ verdict: "recorded", reason: "the disk is faulty", transition: null });
  });

  test("of a run that was sent away counts for nothing, whatever others have done to the disk", () => {
    for (const state of ["requested", "waiting", "parked", "unreported"] as const) {
      const before = facts({ state, target: "partial", attempt: 1, runId: "run-1" });
      expect(decideReport(before, { ...failure("untouched"), runId: "run-9" }, now).transition).toBeNull();
    }
  });

  test("of failure with the disk touched waits, longer each time, and parks after the last attempt", () => {
    const pauses = [1, 2].map((attempt) => {
      const decision = decideReport(facts({ ...writing, attempt, runId: "run-1" }), failure("partial"), now);
      expect(decision.transition).toMatchObject({ state: "waiting", attempt, target: "partial" });
      return (decision.transition?.nextAttemptAtMs ?? 0) - now;
    });
    expect(pauses[0]).toBeGreaterThan(0);
    expect(pauses[1]).toBeGreaterThan(pauses[0] ?? 0);
    const last = decideReport(facts({ ...writing, attempt: 3 }), failure("partial"), now);
    expect(last.transition).toMatchObject({ state: "parked", reason: expect.stringContaining("the disk is faulty") });
  });

  test("of failure with the disk untouched leaves it to the abort", () => {
    const running = facts({ state: "running", attempt: 1, runId: "run-1" });
    expect(decideReport(running, failure("untouched"), now).transition).toBeNull();
  });

  test("of failure, and then the abort of the same run: counted once", () => {
    const after = decideReport(writing, failure("partial"), now).transition;
    const waiting = facts({ ...writing, ...after });
    const { answer, transition } = decideAbort(waiting, abort("partial"), "partial", null, now + 10);
    expect(transition).toBeNull();
    expect(answer).toMatchObject({ next: "retry", attempt: 2 });
  });
});

describe("an abort", () => {
  const running = facts({ state: "running", attempt: 1, runId: "run-1" });

  test("with the disk untouched: all is as before", () => {
    const { answer, transition } = decideAbort(running, abort("untouched"), "untouched", null, now);
    expect(answer).toEqual({ next: "boot-old-os", bootInfo: oldOs });
    expect(transition).toMatchObject({ state: "aborted", target: "untouched" });
  });

  test("works without boot info", () => {
    const before = facts({ ...running, previousBootInfo: null });
    expect(decideAbort(before, abort("untouched"), "untouched", null, now).answer).toEqual({
      next: "boot-old-os",
      bootInfo: null,
    });
  });

  test("that says untouched where the events said otherwise: touched it is", () => {
    const { answer, transition } = decideAbort(running, abort("untouched"), "partial", null, now);
    expect(answer.next).toBe("retry");
    expect(transition).toMatchObject({ state: "waiting", target: "partial" });
    const second = facts({ ...running, target: "partial", attempt: 2 });
    expect(decideAbort(second, abort("untouched"), "untouched", null, now).transition?.state).toBe("waiting");
  });

  test("with the disk touched: the mark stays, the attempt counts, and the last one parks", () => {
    expect(decideAbort(running, abort("partial"), "untouched", null, now)).toMatchObject({
      answer: { next: "retry", attempt: 2 },
      transition: { state: "waiting", attempt: 1 },
    });
    expect(decideAbort(facts({ ...running, attempt: 3 }), abort("partial"), "untouched", null, now)).toMatchObject({
      answer: { next: "rescue" },
      transition: { state: "parked" },
    });
  });

  test("with the disk complete: the new OS, and its report is still missing", () => {
    const { answer, transition } = decideAbort(running, abort("complete"), "partial", null, now);
    expect(answer.next).toBe("boot-new-os");
    expect(transition).toMatchObject({ state: "unreported", target: "complete" });
  });

  test("of a run that was sent away because the disk is complete: the new OS", () => {
    const before = facts({ state: "unreported", target: "complete", attempt: 1, runId: "run-1" });
    const decision = decideAbort(before, abort("untouched", "run-9"), "untouched", null, now);
    expect(decision).toEqual({ answer: { next: "boot-new-os" }, transition: null });
  });

  test("of an attempt on a disk that was complete and not believed in waits for the next one", () => {
    const parked = facts({ state: "requested", target: "complete", earlierRunIds: ["run-0"] });
    const { transition } = decideInstruction(parked, ask(), now);
    expect(transition).toMatchObject({ state: "running", target: "partial" });
    const after = decideAbort(facts({ ...parked, ...transition }), abort("untouched"), "untouched", null, now);
    expect(after.transition).toMatchObject({ state: "waiting", attempt: 1, target: "partial" });
  });

  test("of an earlier attempt changes nothing", () => {
    const second = facts({ state: "running", attempt: 2, runId: "run-2", earlierRunIds: ["run-1"] });
    expect(decideAbort(second, abort("untouched", "run-1"), "untouched", null, now).transition).toBeNull();
  });

  test("that nobody waits for changes nothing", () => {
    expect(decideAbort(null, abort("untouched"), "untouched", oldOs, now).answer).toEqual({
      next: "boot-old-os",
      bootInfo: oldOs,
    });
    expect(decideAbort(null, abort("partial"), "untouched", null, now).answer.next).toBe("rescue");
    expect(decideAbort(null, abort("complete"), "untouched", null, now).answer.next).toBe("boot-new-os");
  });
});

/** Where a network boot leads in each state. */
const boots: Record<ReinstallState, string> = {
  requested: "reimage",
  running: "reimage",
  writing: "reimage",
  waiting: "reimage",
  unreported: "local",
  parked: "rescue",
  succeeded: "local",
  aborted: "local",
};
test.each([...reinstallStates])("a network boot in state %s", (state) => {
  expect(bootInState(state)).toBe(boots[state] as "local");
});

test("whatever happens in whatever order: what was touched stays touched, attempts are capped, only proof ends in success", () => {
  for (let seed = 1; seed <= 2000; seed += 1) {
    const random = createRandom(seed);

    let state = facts({ mostAttempts: 1 + random.below(3) });
    let time = now;
    const known = new Set<string>();
    for (let step = 0; step < 30 && !isEnded(state.state); step += 1) {
      time += random.below(100_000);
      const runId = random.pick(["run-1", "run-2", "run-3", "run-4"]);
      const touched = random.pick(["untouched", "partial", "complete"] as const);
      const proof = random.pick([{}, { readback: null }, { target: "untouched" as const }]);
      const what = random.pick(["ask", "observe", "success", "failure", "abort"] as const);
      const transition = {
        ask: () => {
          const { instruction, transition: after } = decideInstruction(state, ask({ runId }), time);
          if (instruction.action === "reinstall") expect(instruction.attempt).toBeLessThanOrEqual(state.mostAttempts);
          return after;
        },
        observe: () => decideObserved(state, runId, touched),
        success: () => decideReport(state, { ...success(proof), runId }, time).transition,
        failure: () => decideReport(state, { ...failure(touched), runId }, time).transition,
        abort: () => decideAbort(state, abort(touched, runId), "untouched", null, time).transition,
      }[what]();
      if (transition === null) continue;
      const where = `seed ${seed}, step ${step}: ${what} in ${state.state}`;
      if (transition.state === "succeeded") expect({ where, proof }).toEqual({ where, proof: {} });
      if (transition.state === "aborted")
        expect({ where, target: state.target }).toEqual({ where, target: "untouched" });
      if (state.target !== "untouched")
        expect({ where, target: transition.target }).not.toEqual({ where, target: "untouched" });
      if (transition.runId !== null) known.add(transition.runId);
      const earlier = [...known].filter((id) => id !== transition.runId);
      state = { ...state, ...transition, earlierRunIds: earlier };
    }
  }
});

test("of two words about a disk, the one that says more was done to it", () => {
  expect(moreTouched("untouched", "partial")).toBe("partial");
  expect(moreTouched("complete", "partial")).toBe("complete");
});
