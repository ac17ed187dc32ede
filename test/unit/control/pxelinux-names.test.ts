/** The pure parts: names, events of the kernel, and when a boot counts. */
import { expect, test } from "bun:test";
import {
  IN_ACCESS,
  IN_CLOSE_NOWRITE,
  IN_OPEN,
  parseInotifyEvents,
} from "../../../src/control/server/pxelinux/inotify.ts";
import {
  isBootId,
  linkName,
  macOfLinkName,
  oneShotName,
  parseOneShotName,
} from "../../../src/control/server/pxelinux/names.ts";
import { createReadTracker } from "../../../src/control/server/pxelinux/read-tracker.ts";

const MAC = "23:34:a3:e9:09:cc";

test("a MAC has the name that PXELINUX asks for, and that name alone", () => {
  expect(linkName(MAC)).toBe("01-23-34-a3-e9-09-cc");
  expect(macOfLinkName("01-23-34-a3-e9-09-cc")).toBe(MAC);
  for (const other of ["01-23-34-A3-E9-09-CC", "01-2334a3e909cc", "23-34-a3-e9-09-cc", "default", "C0A8", "01-", ""]) {
    expect(macOfLinkName(other)).toBeNull();
  }
});

test("the name of a one-shot copy tells what it is for", () => {
  const boot = { mac: MAC, bootId: "7.3-x_Y", configuration: "ubuntu-16.04" };
  expect(oneShotName(boot)).toBe("01-23-34-a3-e9-09-cc@7.3-x_Y@ubuntu-16.04");
  expect(parseOneShotName(oneShotName(boot))).toEqual(boot);
  for (const other of [".new-copy", "01-23-34-a3-e9-09-cc", "01-23-34-a3-e9-09-cc@1@", "x@1@local", "@@", "a@b@c@d"]) {
    expect(parseOneShotName(other)).toBeNull();
  }
});

test.each(["", "a/b", "..\n", "a@b", "x".repeat(65), "ü"])("%j cannot name a boot", (text) => {
  expect(isBootId(text)).toBe(false);
});

test("events of the kernel", () => {
  const event = (mask: number, name: string, nameBytes: number) => {
    const bytes = Buffer.alloc(16 + nameBytes);
    bytes.writeInt32LE(1, 0);
    bytes.writeUInt32LE(mask, 4);
    bytes.writeUInt32LE(nameBytes, 12);
    bytes.write(name, 16);
    return bytes;
  };
  const bytes = Buffer.concat([
    event(IN_OPEN, "a", 16),
    event(IN_CLOSE_NOWRITE, "b".repeat(15), 16),
    event(0x8000, "", 0),
  ]);
  expect(parseInotifyEvents(bytes)).toEqual([
    { mask: IN_OPEN, name: "a" },
    { mask: IN_CLOSE_NOWRITE, name: "b".repeat(15) },
    { mask: 0x8000, name: "" },
  ]);
  expect(parseInotifyEvents(Buffer.alloc(0))).toEqual([]);
  expect(IN_ACCESS).toBe(1);
});

/** Follows one copy: window 5 s, longest 30 s. */
function follow() {
  const tracker = createReadTracker({ retryWindowMs: 5000, longestReadMs: 30_000 });
  tracker.follow("x");
  const readAt = (ms: number) => {
    tracker.opened("x");
    tracker.read("x", ms);
    tracker.closed("x");
  };
  return { tracker, readAt };
}

test("a boot counts once, when its retry window is over", () => {
  const { tracker, readAt } = follow();
  expect(tracker.takeDue(1e9)).toEqual([]);
  readAt(1000);
  expect(tracker.takeDue(5999)).toEqual([]);
  expect(tracker.takeDue(6000)).toEqual(["x"]);
  readAt(7000);
  expect(tracker.takeDue(1e9)).toEqual([]);
});

test("retries belong to the boot, and do not prolong it", () => {
  const { tracker, readAt } = follow();
  for (const ms of [0, 1000, 2000, 4999]) readAt(ms);
  expect(tracker.takeDue(5000)).toEqual(["x"]);
});

test("a file that is being sent is waited for, but not for ever", () => {
  const { tracker } = follow();
  tracker.opened("x");
  tracker.read("x", 0);
  expect(tracker.takeDue(29_999)).toEqual([]);
  expect(tracker.takeDue(30_000)).toEqual(["x"]);
  const slow = follow().tracker;
  slow.opened("x");
  slow.read("x", 0);
  slow.closed("x");
  slow.closed("x"); // one more than was opened
  slow.opened("x");
  expect(slow.takeDue(6000)).toEqual([]);
  slow.closed("x");
  expect(slow.takeDue(6001)).toEqual(["x"]);
});

test("opening without reading, as a client that asks for the size, is no boot", () => {
  const { tracker } = follow();
  tracker.opened("x");
  tracker.closed("x");
  expect(tracker.takeDue(1e9)).toEqual([]);
});

test("what is not followed, or no longer, is never due; what could not be reported is due again", () => {
  const { tracker, readAt } = follow();
  tracker.read("y", 0);
  readAt(0);
  expect(tracker.takeDue(5000)).toEqual(["x"]);
  tracker.retryAt("x", 6000);
  expect(tracker.takeDue(5999)).toEqual([]);
  expect(tracker.takeDue(6000)).toEqual(["x"]);
  tracker.retryAt("x", 7000);
  tracker.forget("x");
  expect(tracker.takeDue(1e9)).toEqual([]);
});
