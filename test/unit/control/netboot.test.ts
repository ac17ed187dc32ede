/** What a network boot gets, and how boots are counted. */
import { describe, expect, test } from "bun:test";
import { type DeploymentFacts, decideNetboot } from "../../../src/control/server/decisions/netboot.ts";

const hour = 3_600_000;
function deployed(change: Partial<DeploymentFacts> = {}): DeploymentFacts {
  const answers = { answeredAtMs: null, answeredConfiguration: null };
  return { configuration: "install", boots: null, afterwards: "local", isByOperator: true, ...answers, ...change };
}

/** What a machine gets that boots again and again, an hour between. */
function bootOften(first: DeploymentFacts, isOpen: boolean, times: number): string[] {
  let deployment = first;
  return Array.from({ length: times }, (_, index) => {
    const { configuration, next } = decideNetboot(deployment, isOpen, index * hour);
    deployment = next ?? deployment;
    return configuration;
  });
}

test("nothing deployed: the disk", () => {
  expect(decideNetboot(null, true, 0)).toEqual({ configuration: "local", next: null });
});

describe("for so many boots", () => {
  test.each([1, 2, 5])("%d, and then the disk for ever", (boots) => {
    const expected = Array.from({ length: boots + 3 }, (_, index) => (index < boots ? "install" : "local"));
    expect(bootOften(deployed({ boots }), false, boots + 3)).toEqual(expected);
  });

  test("then what was named", () => {
    expect(bootOften(deployed({ boots: 1, afterwards: "grml" }), false, 3)).toEqual(["install", "grml", "grml"]);
  });
});

test("until something else is deployed", () => {
  expect(bootOften(deployed(), false, 4)).toEqual(["install", "install", "install", "install"]);
});

test("firmware that asks several times for one boot has booted once", () => {
  let deployment = deployed({ boots: 2 });
  const answers = [0, 1_000, 19_999, 20_000, 21_000, 60_000, 61_000].map((atMs) => {
    const { configuration, next } = decideNetboot(deployment, false, atMs);
    deployment = next ?? deployment;
    return configuration;
  });
  expect(answers).toEqual(["install", "install", "install", "install", "install", "local", "local"]);
});

test("a clock that was set back does not give a boot for nothing", () => {
  const before = deployed({ boots: 1, answeredAtMs: hour, answeredConfiguration: "other" });
  expect(decideNetboot(before, false, 0)).toMatchObject({ configuration: "install", next: { configuration: "local" } });
});

describe("the reimager", () => {
  const reimage = deployed({ configuration: "reimage", boots: 3, isByOperator: false });

  test("is for marked machines alone", () => {
    expect(decideNetboot(reimage, true, 0).configuration).toBe("reimage");
    expect(decideNetboot(reimage, false, 0)).toEqual({ configuration: "local", next: null });
  });

  test("unless an operator has deployed it himself", () => {
    expect(decideNetboot({ ...reimage, isByOperator: true }, false, 0).configuration).toBe("reimage");
  });

  test("comes to an end for a machine that never calls back", () => {
    expect(bootOften(reimage, true, 5)).toEqual(["reimage", "reimage", "reimage", "local", "local"]);
  });
});
