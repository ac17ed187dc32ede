/** The provisioning events of the compatible facades: taken, folded into what is known of the machine, and read. */
import { z } from "zod";
import type { Store, WriteScope } from "../database/store.ts";
import {
  decideProvisioning,
  notProvisioned,
  type Provisioning,
  type ProvisioningDecision,
  type ProvisioningEntry,
  type ProvisioningEvent,
  type ProvisioningState,
  parseProvisioningEvent,
  provisioningEvents,
} from "../decisions/provisioning.ts";
import { changeFacadePart, facadePart } from "./facade-facts.ts";
import { requireMachine } from "./reinstalls.ts";

const PART = "provisioning";
/** So many events of a machine are kept: nobody who can reach the endpoint shall fill its disk. */
const MOST_KEPT = 100;
const LONGEST_MESSAGE = 4096;

const states: readonly ProvisioningState[] = [
  "Initial",
  ...provisioningEvents.filter((event) => event !== "Alive" && event !== "Reset Fail Count"),
];
const storedSchema = z.object({
  state: z.enum(states),
  lastEventAtMs: z.number().nullable(),
  crashLoop: z.boolean(),
  lastError: z.object({ event: z.enum(provisioningEvents), message: z.string(), timeMs: z.number() }).nullable(),
  incompleteCycles: z.number(),
  failedReclaim: z.boolean(),
});

/** What the events of a machine say of it (pure). @param facade the column of that name. */
export function parseProvisioning(facade: string | null): Provisioning {
  const part = facadePart(facade, PART);
  return part === null ? notProvisioned : storedSchema.parse(part);
}

/** What a machine, or the endpoint, says. */
export interface SentProvisioningEvent {
  readonly event: ProvisioningEvent;
  readonly message: string;
  /** The machine's clock; null: it told none. */
  readonly timeMs: number | null;
}

/** Takes an event of a machine that there is. @throws ReimageError `not-found` */
export async function takeProvisioningEvent(
  scope: WriteScope,
  machineId: string,
  sent: SentProvisioningEvent,
): Promise<ProvisioningDecision> {
  const { db, nowMs } = scope;
  const machine = await requireMachine(scope, machineId);
  const { event } = sent;
  const entry = { event, message: sent.message.slice(0, LONGEST_MESSAGE), timeMs: sent.timeMs ?? nowMs };
  const decision = decideProvisioning(parseProvisioning(machine.facade), entry, nowMs);
  await changeFacadePart(scope, machineId, PART, () => decision.after);
  if (decision.stored !== null) {
    const { message, timeMs } = decision.stored;
    const row = { machine_id: machineId, event, message, time: timeMs, received_at: nowMs };
    await db.insertInto("provisioning_events").values(row).execute();
    await forgetOld(scope, machineId);
  }
  await db
    .insertInto("presence")
    .values({ machine_id: machineId, seen_at: nowMs })
    .onConflict((conflict) => conflict.column("machine_id").doUpdateSet({ seen_at: nowMs }))
    .execute();
  scope.changed(machineId);
  return decision;
}

async function forgetOld({ db }: WriteScope, machineId: string): Promise<void> {
  const oldest = await db
    .selectFrom("provisioning_events")
    .select("id")
    .where("machine_id", "=", machineId)
    .orderBy("id", "desc")
    .offset(MOST_KEPT)
    .limit(1)
    .executeTakeFirst();
  if (oldest === undefined) return;
  const old = db.deleteFrom("provisioning_events").where("machine_id", "=", machineId).where("id", "<=", oldest.id);
  await old.execute();
}

/** The events of a machine that are kept, the newest first. */
export async function listProvisioningEvents(
  store: Pick<Store, "db">,
  machineId: string,
): Promise<ProvisioningEntry[]> {
  const rows = await store.db
    .selectFrom("provisioning_events")
    .selectAll()
    .where("machine_id", "=", machineId)
    .orderBy("id", "desc")
    .limit(MOST_KEPT)
    .execute();
  return rows.flatMap(({ event, message, time }) => {
    const known = parseProvisioningEvent(event);
    return known === null ? [] : [{ event: known, message, timeMs: time }];
  });
}
