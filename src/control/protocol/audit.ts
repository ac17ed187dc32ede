/** Who changed what. */
import { z } from "zod";
import { timeSchema } from "./identity.ts";

export const auditEntrySchema = z
  .object({
    id: z.int(),
    at: timeSchema,
    actor: z.string().meta({ description: "admin:<name>, machine:<id>, facade:<name> or serve" }),
    address: z.string().nullable(),
    action: z.string(),
    object: z.string(),
    detail: z.record(z.string(), z.unknown()),
  })
  .meta({ id: "AuditEntry" });
export type AuditEntry = z.infer<typeof auditEntrySchema>;
