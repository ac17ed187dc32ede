/** What a machine tells of a run, and what it is answered. */
import { z } from "zod";
import { machineIdSchema, runIdSchema, timeSchema } from "./identity.ts";
import { imageIdSchema } from "./image.ts";
import { bootInfoSchema, targetStates } from "./machine.ts";

/** The most events in one request. */
export const MOST_EVENTS = 500;

/**
 * An event of a run as it stands in events.ndjson. What this version does not know by its `type` is kept as it is, so that
 * an old endpoint serves a new machine.
 */
export const wireEventSchema = z
  .looseObject({
    seq: z.int().min(1),
    time: z.string().max(40).meta({ description: "the machine's clock; may be wrong by decades" }),
    type: z.string().min(1).max(64),
  })
  .meta({ id: "RunEvent" });

export type WireEvent = z.infer<typeof wireEventSchema>;

/** POST machines/{id}/events. Sent again, it changes nothing: (runId, seq) is an event's identity. */
export const eventBatchSchema = z
  .strictObject({ runId: runIdSchema, events: z.array(wireEventSchema).min(1).max(MOST_EVENTS) })
  .meta({ id: "EventBatch" });
export type EventBatch = z.infer<typeof eventBatchSchema>;

export const eventReceiptSchema = z
  .object({ lastSeq: z.int().meta({ description: "the highest sequence number of this run that is stored" }) })
  .meta({ id: "EventReceipt" });
export type EventReceipt = z.infer<typeof eventReceiptSchema>;

/** What was really done to the target; `partial` from before the first write on. */
export const touchedSchema = z
  .strictObject({
    state: z.enum(targetStates),
    bytesWritten: z.int().min(0).nullable().default(null),
    firstLba: z.int().min(0).nullable().default(null),
  })
  .meta({ id: "Touched" });

/** report.json, as far as the endpoint decides by it; the rest is kept as it is. */
export const wireReportSchema = z
  .looseObject({
    schemaVersion: z.literal(1),
    outcome: z.enum(["success", "failed"]),
    stage: z.string().max(64).nullable(),
    target: z.enum(targetStates),
    reason: z.string().max(8192).nullable(),
    image: z.object({ id: z.string().max(1024).nullable(), sha256: z.string().max(128) }).nullable(),
    readback: z.string().max(128).nullable(),
  })
  .meta({ id: "Report" });
export type WireReport = z.infer<typeof wireReportSchema>;

/** POST machines/{id}/report. Sent again, it changes nothing. */
export const reportMessageSchema = z
  .strictObject({ runId: runIdSchema, report: wireReportSchema, bootInfo: bootInfoSchema.nullable().default(null) })
  .meta({ id: "ReportMessage" });
export type ReportMessage = z.infer<typeof reportMessageSchema>;

/**
 * `verified`: success that is believed. `unverified`: it says success, and does not prove it. `recorded`: a failure, or a
 * run that nobody asked for.
 */
export const reportReceiptSchema = z
  .object({ verdict: z.enum(["verified", "unverified", "recorded"]), reason: z.string().nullable() })
  .meta({ id: "ReportReceipt" });
export type ReportReceipt = z.infer<typeof reportReceiptSchema>;

/** POST machines/{id}/abort-reinstall. Sent again for the same run, it is answered the same. */
export const abortMessageSchema = z
  .strictObject({ runId: runIdSchema, target: touchedSchema, reason: z.string().max(8192) })
  .meta({ id: "AbortMessage" });
export type AbortMessage = z.infer<typeof abortMessageSchema>;

export const abortAnswerSchema = z
  .discriminatedUnion("next", [
    z.object({
      next: z.literal("boot-old-os"),
      bootInfo: bootInfoSchema
        .nullable()
        .meta({ description: "null where nothing is known of the old OS; it boots from its disk all the same" }),
    }),
    z.object({ next: z.literal("boot-new-os") }),
    z.object({ next: z.literal("retry"), afterSeconds: z.int(), attempt: z.int() }),
    z.object({ next: z.literal("rescue"), reason: z.string() }),
  ])
  .meta({ id: "AbortAnswer" });
export type AbortAnswer = z.infer<typeof abortAnswerSchema>;

/** POST machines/{id}/instructions: what shall this machine do, before anything is written? */
export const instructionRequestSchema = z
  .strictObject({
    runId: runIdSchema,
    bootInfo: bootInfoSchema
      .nullable()
      .meta({ description: "what the old OS says of itself; null: it says nothing, or there is none" }),
    installed: z
      .strictObject({ runId: runIdSchema })
      .nullable()
      .default(null)
      .meta({ description: "the run that installed the OS which is on the disk now, from its boot info" }),
    isDiskNamed: z.boolean().meta({ description: "whether the operator named the target disk in the configuration" }),
  })
  .meta({ id: "InstructionRequest" });
export type InstructionRequest = z.infer<typeof instructionRequestSchema>;

export const instructionSchema = z
  .discriminatedUnion("action", [
    z.object({
      action: z.literal("reinstall"),
      attempt: z.int(),
      mostAttempts: z.int(),
      image: z.object({ id: imageIdSchema, url: z.string().nullable(), sha256: z.string().nullable() }),
      bootInfo: bootInfoSchema.nullable(),
    }),
    z.object({ action: z.literal("boot-local"), reason: z.string() }),
    z.object({ action: z.literal("report-and-boot-local"), runId: runIdSchema }),
    z.object({ action: z.literal("wait"), afterSeconds: z.int(), reason: z.string() }),
    z.object({ action: z.literal("rescue"), reason: z.string() }),
  ])
  .meta({ id: "Instruction" });
export type Instruction = z.infer<typeof instructionSchema>;

/** A run as the endpoint tells of it. */
export const runSchema = z
  .object({
    id: runIdSchema,
    machineId: machineIdSchema,
    reinstallId: z.string().nullable(),
    attempt: z.int().nullable(),
    startedAt: timeSchema,
    endedAt: timeSchema.nullable(),
    stage: z.string().nullable(),
    target: z.enum(targetStates),
    outcome: z.enum(["success", "failed"]).nullable(),
    verdict: z.enum(["verified", "unverified", "recorded"]).nullable(),
    reason: z.string().nullable(),
    imageId: z.string().nullable(),
    lastSeq: z.int(),
  })
  .meta({ id: "Run" });
export type Run = z.infer<typeof runSchema>;
