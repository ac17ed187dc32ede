/** The provisioning events of metal-stack: which may follow which, and what an unexpected one leaves behind. */
import { expect, test } from "bun:test";
import {
  decideProvisioning,
  livelinessOf,
  notProvisioned,
  type Provisioning,
  type ProvisioningEvent,
  type ProvisioningState,
  parseProvisioningEvent,
  provisioningEvents,
} from "../../../src/control/server/decisions/provisioning.ts";

const NOW = Date.UTC(2026, 0, 1, 12);
const MINUTE = 60_000;

const inState = (state: ProvisioningState, change: Partial<Provisioning> = {}): Provisioning => ({
  ...notProvisioned,
  state,
  lastEventAtMs: NOW - MINUTE,
  ...change,
});
const take = (before: Provisioning, event: ProvisioningEvent, message = "", nowMs = NOW) =>
  decideProvisioning(before, { event, message, timeMs: nowMs }, nowMs);
/** The machine after these events, a minute apart. */
const after = (...events: readonly ProvisioningEvent[]) =>
  events.reduce((state, event, index) => take(state, event, "", NOW + index * MINUTE).after, notProvisioned);

test("the words are those of the wire, with their spaces", () => {
  expect(provisioningEvents.join("|")).toBe(
    "Alive|Crashed|PXE Booting|Planned Reboot|Preparing|Registering|Waiting|Installing|Booting New Kernel|Phoned Home|Machine Reclaim|Reset Fail Count",
  );
  expect(parseProvisioningEvent("Booting New Kernel")).toBe("Booting New Kernel");
  for (const strange of ["booting new kernel", "Reinstall Aborted", "PXEBooting", "", "toString"]) {
    expect(parseProvisioningEvent(strange)).toBeNull();
  }
});

const states: readonly ProvisioningState[] = [
  "Initial",
  "PXE Booting",
  "Preparing",
  "Registering",
  "Waiting",
  "Installing",
  "Booting New Kernel",
  "Phoned Home",
  "Planned Reboot",
  "Machine Reclaim",
  "Crashed",
];
const all = states.join(",");
/** From where each is expected, ten minutes after the last word. */
const table: Record<ProvisioningEvent, string> = {
  "PXE Booting": "Initial,PXE Booting,Planned Reboot,Machine Reclaim,Crashed",
  Preparing: "Initial,PXE Booting,Planned Reboot,Machine Reclaim,Crashed",
  Registering: "Initial,Preparing",
  Waiting: "Initial,Registering",
  Installing: "Initial,Registering,Waiting",
  "Booting New Kernel": "Initial,Installing",
  "Phoned Home": "Initial,Booting New Kernel,Phoned Home,Machine Reclaim",
  "Planned Reboot": all,
  "Machine Reclaim": all,
  "Reset Fail Count": all,
  Alive: "Initial,PXE Booting,Preparing,Registering,Waiting,Installing,Booting New Kernel",
  Crashed: "Initial,PXE Booting,Preparing,Registering,Waiting,Installing,Booting New Kernel",
};

test.each(Object.entries(table))("%s is expected from %s only", (event, from) => {
  const expected = states.filter((state) => {
    return take(inState(state, { lastEventAtMs: NOW - 10 * MINUTE }), event as ProvisioningEvent).isExpected;
  });
  expect([...expected].sort()).toEqual(from.split(",").sort() as ProvisioningState[]);
});

test("a whole reinstallation is expected from one end to the other", () => {
  const whole = ["Planned Reboot", "PXE Booting", "Preparing", "Registering", "Installing", "Alive"] as const;
  const end = after(...whole, "Booting New Kernel", "Phoned Home");
  expect(end).toMatchObject({ state: "Phoned Home", crashLoop: false, lastError: null, incompleteCycles: 0 });
});

test.each(["PXE Booting", "Preparing"] as const)(
  "%s out of turn means a crash loop, and is kept with the state",
  (event) => {
    const { after: found, stored } = take(inState("Installing"), event, "pixie");
    expect(stored?.message).toBe("[unexpectedly received in state installing]: pixie");
    expect(found).toMatchObject({ state: event, crashLoop: true, incompleteCycles: 1, lastError: { event } });
    expect(take(inState("Installing"), event).stored?.message).toBe("[unexpectedly received in state installing]");
  },
);

test("another event out of turn is an error and no crash loop", () => {
  const { after: found, stored } = take(inState("Phoned Home"), "Waiting");
  expect(stored?.message).toBe("[unexpectedly received in state phoned home]");
  expect(found).toMatchObject({ state: "Waiting", crashLoop: false, lastError: { event: "Waiting" } });
});

test.each(["Installing", "Phoned Home"] as const)("Crashed is a crash loop, in turn or (from %s) not", (state) => {
  const { after: found, stored } = take(inState(state), "Crashed", "no disk");
  expect(found).toMatchObject({ state: "Crashed", crashLoop: true, lastError: { event: "Crashed" } });
  expect(stored?.message).toEndWith("no disk");
});

test.each(["Planned Reboot", "Machine Reclaim", "Phoned Home", "Reset Fail Count"] as const)(
  "%s ends a crash loop; what went wrong is still known",
  (event) => {
    const lastError = { event: "Crashed", message: "", timeMs: 1 } as const;
    const looping = inState("Booting New Kernel", { crashLoop: true, incompleteCycles: 3, lastError });
    const { after: found, stored } = take(looping, event);
    expect(found).toMatchObject({ crashLoop: false, incompleteCycles: 0, lastError });
    expect(found.state).toBe(event === "Reset Fail Count" ? "Booting New Kernel" : event);
    expect(stored).not.toBeNull();
  },
);

test("cycles after a crash are counted", () => {
  expect(after("Preparing", "Crashed", "PXE Booting", "Preparing", "Crashed", "Preparing").incompleteCycles).toBe(2);
});

test.each(states)("Alive in %s is never kept, and only shows that the machine lives", (state) => {
  const before = inState(state);
  const { after: found, stored } = take(before, "Alive");
  expect(stored).toBeNull();
  expect(found).toEqual({ ...before, lastEventAtMs: NOW });
});

test.each(["PXE Booting", "Phoned Home"] as const)("%s again only moves the time", (event) => {
  const before = inState(event, { crashLoop: true });
  expect(take(before, event)).toMatchObject({ stored: null, after: { ...before, lastEventAtMs: NOW } });
});

test.each(["Planned Reboot", "PXE Booting", "Preparing", "Registering", "Waiting"] as const)(
  "the old OS's late Phoned Home in %s is swallowed; one that comes later is not expected",
  (state) => {
    const before = inState(state);
    expect(take(before, "Phoned Home")).toEqual({ after: before, stored: null, isExpected: true });
    const late = inState(state, { lastEventAtMs: NOW - 5 * MINUTE });
    expect(take(late, "Phoned Home")).toMatchObject({ isExpected: false, after: { state: "Phoned Home" } });
  },
);

test("Phoned Home while it installs skips Booting New Kernel, and is not expected", () => {
  expect(take(inState("Installing"), "Phoned Home")).toMatchObject({ isExpected: false });
});

test("a machine that was given back and still phones home five minutes later was not reclaimed", () => {
  const before = inState("Machine Reclaim");
  expect(take(before, "Phoned Home")).toMatchObject({ after: before, stored: null });
  const late = take(inState("Machine Reclaim", { lastEventAtMs: NOW - 6 * MINUTE }), "Phoned Home").after;
  expect(late).toMatchObject({ failedReclaim: true, state: "Machine Reclaim" });
  expect(take(late, "PXE Booting").after.failedReclaim).toBe(false);
});

test("a machine that is silent for more than five minutes is dead, or unknown where somebody's OS is on it", () => {
  expect(livelinessOf(NOW - 5 * MINUTE, false, NOW)).toBe("Alive");
  expect(livelinessOf(NOW - 5 * MINUTE - 1, false, NOW)).toBe("Dead");
  expect(livelinessOf(NOW - 5 * MINUTE - 1, true, NOW)).toBe("Unknown");
  expect(livelinessOf(null, false, NOW)).toBe("Unknown");
});
