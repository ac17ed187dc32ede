/** What the routes of both protocols share: who calls, and which machine is meant. */
import type { Context } from "hono";
import { ReimageError } from "../../../../errors.ts";
import type { Actor, Store } from "../../database/store.ts";
import { parseProvisioningEvent } from "../../decisions/provisioning.ts";
import { findMachine } from "../../operations/machine-list.ts";
import type { SentProvisioningEvent } from "../../operations/provisioning.ts";
import { notFound } from "./answers.ts";
import { eventSchema } from "./bodies.ts";
import { readFields } from "./fields.ts";
import type { MetalContext } from "./metal-context.ts";
import { readMetalMachine } from "./read.ts";
import { type Json, viewMachine } from "./view.ts";
import { waitUntil } from "./wait.ts";

/** Who is written into the audit. */
export function facadeActor(context: Context): Actor {
  return { name: "facade:metal", address: (context.env as { address?: string | null }).address ?? null };
}

/** The machine that the path names. @throws ReimageError `not-found` */
export async function machineOf(context: Context, store: Store): Promise<string> {
  const reference = context.req.param("id") ?? "";
  const id = await findMachine(store, reference);
  if (id === null) throw notFound(reference);
  return id;
}

/** A machine as answers tell of it. @throws ReimageError `not-found` */
export async function describeMachine(store: Store, id: string): Promise<Json> {
  const found = await readMetalMachine(store, id);
  if (found === null) throw notFound(id);
  return viewMachine(found.machine, found.log, store.now());
}

/** @throws ReimageError `invalid` for an unknown event, or a time that is none. */
export async function readEvent(context: Context): Promise<SentProvisioningEvent> {
  const { event, message, time } = await readFields(context, eventSchema);
  const known = parseProvisioningEvent(event);
  if (known === null)
    throw new ReimageError("invalid", `unknown provisioning event ${JSON.stringify(event.slice(0, 64))}`);
  const timeMs = time == null || time === "" ? null : Date.parse(time);
  if (Number.isNaN(timeMs)) throw new ReimageError("invalid", "time: expected a time of RFC 3339");
  return { event: known, message, timeMs };
}

/** Waits until a machine is marked, and not parked. @returns false where the time was up. */
export async function waitForMark(
  { endpoint, waitSeconds }: MetalContext,
  context: Context,
  machineId: string,
): Promise<boolean> {
  return await waitUntil(endpoint, machineId, waitSeconds, context.req.raw.signal, async () => {
    const row = await endpoint.store.db
      .selectFrom("reinstalls")
      .select("state")
      .where("machine_id", "=", machineId)
      .where("ended_at", "is", null)
      .executeTakeFirst();
    return row !== undefined && row.state !== "parked" && row.state !== "unreported";
  });
}
