import { expect, test } from "bun:test";
import { formatLifeboatArgument, formatNote, parseNote } from "../../../src/lifeboat/note.ts";

const uuid = "6f2a7f0c-3c7f-4d57-9d0e-0c8c5b9a6f11";
const [near, far] = [0, 20e12 - 4096];

test("the note is read as it was written", () => {
  for (const offsetBytes of [near, 1 << 20, far]) {
    expect(parseNote(formatNote({ uuid, offsetBytes }))).toEqual({ uuid, offsetBytes });
  }
});

test("where the lifeboat lies changes no length, on which the size of the boot volume depends", () => {
  expect(formatNote({ uuid, offsetBytes: far }).length).toBe(formatNote({ uuid, offsetBytes: near }).length);
  const argument = (offsetBytes: number, sectorSizeBytes: number, switchOffsetBytes: number) =>
    formatLifeboatArgument({ uuid, offsetBytes, sectorSizeBytes, switchOffsetBytes });
  expect(argument(far, 4096, 4096)).toHaveLength(argument(near, 512, 0).length);
  expect(argument(1 << 20, 512, 512)).toBe(`lifeboat=${uuid},0x0000000100000,0x0200,0x0200`);
});

test("a note that does not say which lifeboat is refused", () => {
  expect(() => parseNote("LIFEBOAT_UUID=x\n")).toThrow("does not say which lifeboat");
});
