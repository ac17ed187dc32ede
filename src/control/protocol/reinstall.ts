/** A request to reinstall a machine, and what became of it. */
import { z } from "zod";
import { machineIdSchema, runIdSchema, timeSchema } from "./identity.ts";
import { imageIdSchema } from "./image.ts";
import { reinstallStates, targetStates } from "./machine.ts";

export const requestReinstallSchema = z
  .strictObject({
    imageId: imageIdSchema,
    mostAttempts: z.int().min(1).max(20).default(3),
    powerCycle: z.boolean().default(false).meta({ description: "boot it from the network now, by its power adapter" }),
    reason: z.string().max(1024).default(""),
  })
  .meta({ id: "RequestReinstall" });
export type RequestReinstall = z.infer<typeof requestReinstallSchema>;

export const reinstallSchema = z
  .object({
    id: z.string(),
    machineId: machineIdSchema,
    imageId: imageIdSchema,
    state: z.enum(reinstallStates),
    target: z
      .enum(targetStates)
      .meta({ description: "the worst that has been reported of the disk, over all attempts" }),
    attempt: z.int(),
    mostAttempts: z.int(),
    nextAttemptAt: timeSchema.nullable(),
    runId: runIdSchema.nullable(),
    reason: z.string().nullable(),
    requestedBy: z.string(),
    createdAt: timeSchema,
    endedAt: timeSchema.nullable(),
    powerJobId: z.string().nullable(),
  })
  .meta({ id: "Reinstall" });
export type Reinstall = z.infer<typeof reinstallSchema>;
