/** Power of a machine, by its management controller. */
import { z } from "zod";
import { timeSchema } from "./identity.ts";

export const powerActions = ["on", "off", "reset", "status", "next-boot-network", "next-boot-disk"] as const;

export const powerRequestSchema = z.strictObject({ action: z.enum(powerActions) }).meta({ id: "PowerRequest" });

export const powerJobSchema = z
  .object({
    id: z.string(),
    machineId: z.string(),
    action: z.string(),
    state: z.enum(["queued", "done", "failed"]),
    power: z.enum(["on", "off", "unknown"]).nullable(),
    message: z.string().nullable(),
    createdAt: timeSchema,
    endedAt: timeSchema.nullable(),
  })
  .meta({ id: "PowerJob" });
export type PowerJob = z.infer<typeof powerJobSchema>;
