import { describe, expect, test } from "bun:test";
import { decideEnding, type Ending, type EndingFacts } from "../../../src/init/ending.ts";

type Row = [EndingFacts["outcome"], EndingFacts["target"], EndingFacts["onFailure"], Ending];

describe("decideEnding", () => {
  test.each<Row>([
    ["success", "complete", "shell", "reboot"],
    ["failed", "untouched", "shell", "rescue"],
    ["failed", "untouched", "reboot", "reboot"],
    ["failed", "untouched", "poweroff", "poweroff"],
    ["failed", "complete", "shell", "rescue"],
    ["failed", "complete", "reboot", "reboot"],
    // Image and retained files exist in RAM alone.
    ["failed", "partial", "shell", "rescue"],
    ["failed", "partial", "reboot", "rescue"],
    ["failed", "partial", "poweroff", "rescue"],
  ])("%s, target %s, onFailure %s: %s", (outcome, target, onFailure, ending) => {
    expect(decideEnding({ outcome, target, onSuccess: "reboot", onFailure })).toBe(ending);
  });

  test("a half-written disk is carried on with where there is a lifeboat, whatever onFailure says", () => {
    const facts = { outcome: "failed", target: "partial", onSuccess: "reboot", isRepeatable: true } as const;
    expect(decideEnding({ ...facts, onFailure: "shell" })).toBe("reboot");
    expect(decideEnding({ ...facts, onFailure: "poweroff", isRepeatable: false })).toBe("rescue");
  });

  test("success can power off", () => {
    const facts = { outcome: "success", target: "complete", onFailure: "shell" } as const;
    expect(decideEnding({ ...facts, onSuccess: "poweroff" })).toBe("poweroff");
  });
});
