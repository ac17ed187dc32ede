/**
 * The provisioning events of metal-stack as a state machine (pure): which event may follow which, what an unexpected one
 * means, and what is kept. The words are those of its wire, with their spaces.
 */

export const provisioningEvents = [
  "Alive",
  "Crashed",
  "PXE Booting",
  "Planned Reboot",
  "Preparing",
  "Registering",
  "Waiting",
  "Installing",
  "Booting New Kernel",
  "Phoned Home",
  "Machine Reclaim",
  "Reset Fail Count",
] as const;
export type ProvisioningEvent = (typeof provisioningEvents)[number];

/** Null for what is no event of this protocol (pure). */
export function parseProvisioningEvent(text: string): ProvisioningEvent | null {
  return provisioningEvents.find((event) => event === text) ?? null;
}

/** A state is named as the event that led to it. */
export type ProvisioningState = Exclude<ProvisioningEvent, "Alive" | "Reset Fail Count"> | "Initial";

export interface ProvisioningEntry {
  readonly event: ProvisioningEvent;
  readonly message: string;
  /** By the machine's clock where it told it. */
  readonly timeMs: number;
}

/** What is known of a machine by its events. */
export interface Provisioning {
  readonly state: ProvisioningState;
  /** When the last event came, by the endpoint's clock; that of a machine may be wrong by decades. */
  readonly lastEventAtMs: number | null;
  readonly crashLoop: boolean;
  readonly lastError: ProvisioningEntry | null;
  /** How often it has begun anew, since all was well. */
  readonly incompleteCycles: number;
  /** It was given back, and its old OS still phones home. */
  readonly failedReclaim: boolean;
}

export const notProvisioned: Provisioning = {
  state: "Initial",
  lastEventAtMs: null,
  crashLoop: false,
  lastError: null,
  incompleteCycles: 0,
  failedReclaim: false,
};

const inTheReimager: readonly ProvisioningState[] = [
  "PXE Booting",
  "Preparing",
  "Registering",
  "Waiting",
  "Installing",
  "Booting New Kernel",
];
const afterTheEnd: readonly ProvisioningState[] = ["Planned Reboot", "Machine Reclaim", "Crashed", "Initial"];

/** From where each event is expected; null: from everywhere. */
const sources: Readonly<Record<ProvisioningEvent, readonly ProvisioningState[] | null>> = {
  "PXE Booting": [...afterTheEnd, "PXE Booting"],
  Preparing: [...afterTheEnd, "PXE Booting"],
  Registering: ["Preparing", "Initial"],
  Waiting: ["Registering", "Initial"],
  Installing: ["Registering", "Waiting", "Initial"], // a reinstallation does not wait
  "Booting New Kernel": ["Installing", "Initial"],
  "Phoned Home": ["Booting New Kernel", "Machine Reclaim", "Initial", "Phoned Home"],
  "Planned Reboot": null,
  "Machine Reclaim": null,
  "Reset Fail Count": null,
  Alive: [...inTheReimager, "Initial"],
  Crashed: [...inTheReimager, "Initial"],
};

/** Before these, the OS that phones home is the old one, whose last word was late. */
const beforeInstalling: readonly ProvisioningState[] = [
  "Planned Reboot",
  "PXE Booting",
  "Preparing",
  "Registering",
  "Waiting",
];
const LATE_MILLISECONDS = 5 * 60_000;

export interface ProvisioningDecision {
  readonly after: Provisioning;
  /** What is added to the log; null: nothing. */
  readonly stored: ProvisioningEntry | null;
  /** Whether it fits what was known; what does not is kept all the same. */
  readonly isExpected: boolean;
}

/** @param nowMs by the endpoint's clock. */
export function decideProvisioning(
  before: Provisioning,
  entry: ProvisioningEntry,
  nowMs: number,
): ProvisioningDecision {
  const { event } = entry;
  const { state } = before;
  const seen: Provisioning = { ...before, lastEventAtMs: nowMs };
  const sinceMs = before.lastEventAtMs === null ? Number.POSITIVE_INFINITY : nowMs - before.lastEventAtMs;

  if (event === "Alive") return { after: seen, stored: null, isExpected: isFrom(event, state) }; // never kept
  if (event === state && (event === "PXE Booting" || event === "Phoned Home")) {
    return { after: seen, stored: null, isExpected: true };
  }
  if (event === "Phoned Home" && state === "Machine Reclaim") {
    const isLate = sinceMs < LATE_MILLISECONDS;
    return { after: isLate ? before : { ...seen, failedReclaim: true }, stored: null, isExpected: true };
  }
  if (event === "Phoned Home" && beforeInstalling.includes(state) && sinceMs < LATE_MILLISECONDS) {
    return { after: before, stored: null, isExpected: true };
  }
  if (event === "Reset Fail Count") {
    return { after: { ...seen, crashLoop: false, incompleteCycles: 0 }, stored: entry, isExpected: true };
  }
  if (!isFrom(event, state)) {
    const prefix = `[unexpectedly received in state ${state.toLowerCase()}]`;
    const stored = { ...entry, message: entry.message === "" ? prefix : `${prefix}: ${entry.message}` };
    const isNewCycle = event === "PXE Booting" || event === "Preparing";
    const after: Provisioning = {
      ...seen,
      state: event,
      lastError: stored,
      crashLoop: before.crashLoop || isNewCycle || event === "Crashed",
      incompleteCycles: before.incompleteCycles + (isNewCycle ? 1 : 0),
    };
    return { after, stored, isExpected: false };
  }
  return { after: { ...seen, ...expected(before, entry), state: event }, stored: entry, isExpected: true };
}

function isFrom(event: ProvisioningEvent, state: ProvisioningState): boolean {
  return sources[event]?.includes(state) ?? true;
}

function expected(before: Provisioning, entry: ProvisioningEntry): Partial<Provisioning> {
  switch (entry.event) {
    case "Crashed":
      return { crashLoop: true, lastError: entry };
    case "Planned Reboot":
    case "Machine Reclaim":
    case "Phoned Home":
      return { crashLoop: false, incompleteCycles: 0 };
    case "PXE Booting":
    case "Preparing":
      // After a crash a cycle was not completed.
      return { failedReclaim: false, incompleteCycles: before.incompleteCycles + (before.state === "Crashed" ? 1 : 0) };
    default:
      return {};
  }
}

export type Liveliness = "Alive" | "Dead" | "Unknown";

/** Whether the machine is heard of: silent for five minutes, it is dead, or, with somebody's OS on it, unknown (pure). */
export function livelinessOf(lastEventAtMs: number | null, isAllocated: boolean, nowMs: number): Liveliness {
  if (lastEventAtMs === null) return "Unknown";
  if (nowMs - lastEventAtMs <= LATE_MILLISECONDS) return "Alive";
  return isAllocated ? "Unknown" : "Dead";
}
