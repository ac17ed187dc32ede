/** GET /api/v1/stream: server-sent events for those who watch. Each message's data is one of these as JSON. */
import { z } from "zod";
import { machineSummarySchema } from "./machine.ts";
import { wireEventSchema } from "./run.ts";

/** `machines`: these have changed (event `machines`); the list is current after it. */
export const machinesChangedSchema = z
  .object({ machines: z.array(machineSummarySchema), removed: z.array(z.string()) })
  .meta({ id: "MachinesChanged" });
export type MachinesChanged = z.infer<typeof machinesChangedSchema>;

/** `run-events` (only for `?run=ID`): new events of that run, in the order of their sequence numbers. */
export const runEventsSchema = z
  .object({ runId: z.string(), events: z.array(wireEventSchema) })
  .meta({ id: "RunEventsMessage" });
