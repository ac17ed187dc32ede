/** What the list shows, and in which order. */
import { expect, test } from "bun:test";
import { applyChange, fleetOf } from "../../../../src/control/dashboard/fleet/fleet.ts";
import { type Question, viewOf } from "../../../../src/control/dashboard/fleet/selection.ts";
import { windowOf } from "../../../../src/control/dashboard/fleet/window.ts";
import type { MachineSummary } from "../../../../src/control/protocol/machine.ts";
import { conditionOf, isSilent, progressOf } from "../../../../src/control/view/condition.ts";

const nowMs = Date.parse("2026-01-01T12:00:00Z");
const ago = (seconds: number) => new Date(nowMs - seconds * 1000).toISOString();

function machine(name: string, change: Partial<MachineSummary> = {}): MachineSummary {
  return {
    id: `id-${name}`,
    name,
    state: "approved",
    macs: [],
    serial: null,
    locked: false,
    imageId: null,
    configuration: "local",
    reinstall: null,
    run: null,
    lastSeenAt: ago(1),
    ...change,
  };
}
type Reinstall = NonNullable<MachineSummary["reinstall"]>;
type Run = NonNullable<MachineSummary["run"]>;
const reinstall = (state: Reinstall["state"]): Reinstall => ({
  id: "r",
  imageId: "os",
  state,
  attempt: 1,
  reason: null,
});
const run = (change: Partial<Run>): Run => ({
  id: "run",
  stage: null,
  what: null,
  doneBytes: null,
  totalBytes: null,
  target: "untouched",
  outcome: null,
  ...change,
});

test.each([
  ["approve", { state: "discovered", reinstall: reinstall("requested") }],
  ["requested", { reinstall: reinstall("requested"), run: run({ outcome: "success", target: "complete" }) }],
  ["running", { reinstall: reinstall("running") }],
  ["writing", { reinstall: reinstall("writing") }],
  ["waiting", { reinstall: reinstall("waiting"), run: run({ outcome: "failed", target: "partial" }) }],
  ["parked", { reinstall: reinstall("parked") }],
  ["unproven", { reinstall: reinstall("unreported") }],
  ["running", { run: run({}) }],
  ["writing", { run: run({ target: "partial" }) }],
  ["installed", { run: run({ outcome: "success", target: "complete" }) }],
  ["failed", { run: run({ outcome: "failed" }) }],
  ["idle", {}],
] as const)("%s: %j", (condition, change) => expect(conditionOf(machine("m", change))).toBe(condition));

test("silent is who should talk and does not", () => {
  const busy = { run: run({ target: "partial" }) };
  expect(isSilent(machine("m", { ...busy, lastSeenAt: ago(299) }), nowMs)).toBe(false);
  expect(isSilent(machine("m", { ...busy, lastSeenAt: ago(301) }), nowMs)).toBe(true);
  expect(isSilent(machine("m", { ...busy, lastSeenAt: null }), nowMs)).toBe(true);
  expect(isSilent(machine("m", { lastSeenAt: ago(90_000) }), nowMs)).toBe(false);
});

test("progress is that of a run under way, between nothing and all", () => {
  const of = (change: Partial<Run>) => progressOf(machine("m", { run: run(change) }));
  expect(of({ doneBytes: 1, totalBytes: 4 })).toBe(0.25);
  expect(of({ doneBytes: 9, totalBytes: 4 })).toBe(1);
  expect(of({ doneBytes: 1, totalBytes: 0 })).toBeNull();
  expect(of({ doneBytes: 1, totalBytes: null })).toBeNull();
  expect(of({ doneBytes: 1, totalBytes: 4, outcome: "failed" })).toBeNull();
});

const fleet = fleetOf([
  machine("kiosk-10", { serial: "SN-A", macs: ["52:54:00:12:34:56"] }),
  machine("kiosk-9", { reinstall: reinstall("parked"), imageId: "b" }),
  machine("kiosk-1", { run: run({ target: "partial" }), lastSeenAt: ago(600), imageId: "a" }),
]);
const names = (question: Partial<Question>, of = fleet) =>
  viewOf(of, { filter: "all", query: "", sort: { key: "machine", descending: false }, nowMs, ...question }).ids.map(
    (id) => id.slice(3),
  );

test("numbers in names count as numbers", () => expect(names({})).toEqual(["kiosk-1", "kiosk-9", "kiosk-10"]));

test("filters, and their counts", () => {
  expect(names({ filter: "parked" })).toEqual(["kiosk-9"]);
  expect(names({ filter: "silent" })).toEqual(["kiosk-1"]);
  const { counts } = viewOf(fleet, {
    filter: "parked",
    query: "x",
    sort: { key: "machine", descending: false },
    nowMs,
  });
  expect(counts).toMatchObject({ all: 3, parked: 1, writing: 1, silent: 1, idle: 1, failed: 0 });
});

test.each(["525400123456", "5254.0012.3456", "52-54-00-12", "sn-a", "KIOSK-10", "sn-a kiosk", "id-kiosk-10"])(
  "%s finds the machine with that card, serial number and name",
  (query) => expect(names({ query })).toEqual(["kiosk-10"]),
);
test("all words must be there", () => expect(names({ query: "sn-a kiosk-9" })).toEqual([]));
test("a state is found by its word", () => expect(names({ query: "parked" })).toEqual(["kiosk-9"]));

test("sorted by a column, both ways; equal ones by name", () => {
  expect(names({ sort: { key: "image", descending: true } })).toEqual(["kiosk-9", "kiosk-1", "kiosk-10"]);
  expect(names({ sort: { key: "machine", descending: true } })).toEqual(["kiosk-10", "kiosk-9", "kiosk-1"]);
  expect(names({ sort: { key: "configuration", descending: true } })).toEqual(["kiosk-1", "kiosk-9", "kiosk-10"]);
});

test("a change keeps the order; a new, a renamed and a removed machine find their place", () => {
  const changed = applyChange(fleet, {
    machines: [machine("kiosk-9", { reinstall: reinstall("waiting") })],
    removed: [],
  });
  expect(changed.order).toBe(fleet.order);
  expect(names({ filter: "waiting" }, changed)).toEqual(["kiosk-9"]);
  const renamed = { ...machine("kiosk-1"), name: "zebra" };
  const other = applyChange(changed, { machines: [machine("kiosk-2"), renamed], removed: ["id-kiosk-9", "unknown"] });
  expect(names({}, other)).toEqual(["kiosk-2", "kiosk-10", "kiosk-1"]);
  expect(fleet.machines.size).toBe(3);
});

test("the window: what is in sight, some to spare, and the active row wherever it is", () => {
  const rows = windowOf(5000, 36, { topPx: 36_000, heightPx: 720 }, 4000);
  expect([rows[0], rows.at(-2), rows.at(-1)]).toEqual([990, 1030, 4000]);
  expect(windowOf(5000, 36, { topPx: 36_000, heightPx: 720 }, 3)[0]).toBe(3);
  expect(windowOf(3, 36, { topPx: 0, heightPx: 720 }, 1)).toEqual([0, 1, 2]);
  expect(windowOf(0, 36, { topPx: 0, heightPx: 720 }, -1)).toEqual([]);
});
