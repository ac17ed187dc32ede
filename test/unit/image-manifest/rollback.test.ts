import { expect, test } from "bun:test";
import { requireNotOlder } from "../../../src/image/manifest/rollback.ts";

const image = (version: number) => ({ imageId: "kiosk 2026.11", version });
const running = (version: number | null) => ({ image_id: "kiosk 2026.10", image_version: version });
const signed = { isSigned: true, allowOlder: false };

test.each([
  ["newer", 8, running(7)],
  ["the same: written again", 7, running(7)],
  ["the first of all, again", 0, running(0)],
  ["nothing known of the old one", 1, running(null)],
  ["no boot info", 1, null],
])("allowed: %s", (_what, version, bootInfo) => {
  expect(requireNotOlder(image(version), bootInfo, signed)).toBeNull();
  expect(requireNotOlder(image(version), bootInfo, { ...signed, allowOlder: true })).toBeNull();
});

test.each([
  [6, 7],
  [0, 1],
  [9, 10], // 10 comes before 9 only as text
  [2 ** 53 - 2, 2 ** 53 - 1],
])("refused: version %d where %d runs", (version, installed) => {
  expect(() => requireNotOlder(image(version), running(installed), signed)).toThrow(
    expect.objectContaining({
      code: "signature",
      message: `image kiosk 2026.11 has version ${version}, which is older than what this machine runs: version ${installed} (kiosk 2026.10)`,
      hint: expect.stringMatching(/untouched.*allowOlder: true/),
    }),
  );
});

test("an operator may go back on purpose, and is told", () => {
  const warning = requireNotOlder(image(6), running(7), { ...signed, allowOlder: true });
  expect(warning).toContain("version 6, which is older");
  expect(warning).toContain("allowOlder permits it");
});

test("without a key nobody vouches for the version", () => {
  expect(requireNotOlder(image(6), running(7), { ...signed, isSigned: false })).toBeNull();
});

test("an old image without a name", () => {
  expect(() => requireNotOlder(image(6), { image_id: "", image_version: 7 }, signed)).toThrow("(of unknown name)");
});
