/** How a machine gets a token: once, by a code, or by an operator who approves it. The machine makes the token itself. */
import { z } from "zod";
import { machineIdSchema, macSchema, nameSchema, timeSchema } from "./identity.ts";

export const enrolSchema = z
  .strictObject({
    machineId: machineIdSchema,
    macs: z.array(macSchema).max(32),
    serial: z.string().max(256).nullable().default(null),
    hardware: z.record(z.string().max(64), z.unknown()).nullable().default(null),
    tokenSha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/)
      .meta({ description: "of the token that the machine has made and keeps" }),
    code: z
      .string()
      .max(128)
      .optional()
      .meta({ description: "a one-time code; without it an operator has to approve" }),
  })
  .meta({ id: "Enrol" });
export type Enrol = z.infer<typeof enrolSchema>;

export const enrolAnswerSchema = z
  .object({ machineId: machineIdSchema, state: z.enum(["approved", "discovered"]), fingerprint: z.string() })
  .meta({ id: "EnrolAnswer" });
export type EnrolAnswer = z.infer<typeof enrolAnswerSchema>;

export const roles = ["viewer", "operator", "admin"] as const;
export type Role = (typeof roles)[number];

export const createCodeSchema = z
  .strictObject({
    machineId: machineIdSchema.optional().meta({ description: "the only machine that may use it" }),
    expiresInSeconds: z
      .int()
      .min(60)
      .max(30 * 86400)
      .default(86400),
  })
  .meta({ id: "CreateEnrolmentCode" });
export const codeSchema = z.object({ code: z.string(), expiresAt: timeSchema }).meta({ id: "EnrolmentCode" });

export const createTokenSchema = z
  .strictObject({
    name: nameSchema,
    role: z.enum(roles),
    expiresInSeconds: z
      .int()
      .min(60)
      .max(100 * 365 * 86400)
      .nullable()
      .default(null),
  })
  .meta({ id: "CreateToken" });
export const tokenInfoSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    role: z.enum(roles),
    createdAt: timeSchema,
    expiresAt: timeSchema.nullable(),
  })
  .meta({ id: "TokenInfo" });
/** The only answer that ever holds a token. */
export const newTokenSchema = tokenInfoSchema.extend({ token: z.string() }).meta({ id: "NewToken" });
