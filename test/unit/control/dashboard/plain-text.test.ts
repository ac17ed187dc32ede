/** Nothing that a machine says can pose as something else. */
import { expect, test } from "bun:test";
import { showPlainly, textOf } from "../../../../src/control/view/plain-text.ts";

test.each([
  ["plain text, with ümlauts and 漢字", "plain text, with ümlauts and 漢字"],
  ["a\r\nb\rc\td", "a\nb\nc\td"],
  ["\x1b[31;1mred\x1b[0m \x1b[2Jcleared", "red cleared"],
  ["\x1b]8;;http://evil.example\x07link\x1b]8;;\x1b\\", "link"],
  ["\x1b(Bx\x1bcy", "xy"],
  ["\x1b", "␛"],
  ["nul\0 del\x7f c1\x9b", "nul␀ del␡ c1\ufffd"],
  ["photo\u202egpj.exe", "photo‹U+202E›gpj.exe"],
  ["zero\u200bwidth\u2066isolate\ufeff", "zero‹U+200B›width‹U+2066›isolate‹U+FEFF›"],
])("%j is shown as %j", (text, shown) => expect(showPlainly(text)).toBe(shown));

test("what is no text is nothing", () => {
  expect([textOf(undefined), textOf({ toString: () => "x" }), textOf(["a"]), textOf(7)]).toEqual(["", "", "", "7"]);
});
