/** A machine, as the endpoint knows it. */
import { z } from "zod";
import { machineIdSchema, macSchema, nameSchema, runIdSchema, timeSchema } from "./identity.ts";
import { imageIdSchema } from "./image.ts";

/** What is known of the system that is (or was) on a machine: the fields of its boot-info.json. Empty text: unknown. */
export const bootInfoSchema = z
  .looseObject({
    image_id: z.string().max(1024).default(""),
    primary_disk: z.string().max(1024).default(""),
    os_partition: z.string().max(1024).default(""),
    initrd: z.string().max(1024).default(""),
    cmdline: z.string().max(4096).default(""),
    kernel: z.string().max(1024).default(""),
    bootloaderid: z.string().max(1024).default(""),
  })
  .meta({ id: "BootInfo", description: "what a system says of itself and its disk" });

export type WireBootInfo = z.infer<typeof bootInfoSchema>;

/** Whether boot info tells enough to recognise the disk it came from. */
export function identifiesDisk(bootInfo: WireBootInfo | null): boolean {
  return bootInfo !== null && (bootInfo.image_id !== "" || bootInfo.primary_disk !== "");
}

/** `approved`: has a token that counts. `discovered`: has asked, and waits for an operator. `declared`: only named by an operator. */
export const machineStates = ["declared", "discovered", "approved"] as const;

/** Where the reinstallation of a machine is; see the state machine in server/decisions/reinstall.ts. */
export const reinstallStates = [
  "requested",
  "running",
  "writing",
  "unreported",
  "waiting",
  "parked",
  "succeeded",
  "aborted",
] as const;
export type ReinstallState = (typeof reinstallStates)[number];

export const targetStates = ["untouched", "partial", "complete"] as const;

/** One line of the list of machines. */
export const machineSummarySchema = z
  .object({
    id: machineIdSchema,
    name: nameSchema.nullable(),
    state: z.enum(machineStates),
    macs: z.array(z.string()),
    serial: z.string().nullable(),
    locked: z.boolean().meta({ description: "locked machines are not reinstalled" }),
    imageId: z.string().nullable().meta({ description: "what the machine last said, or proved, to run" }),
    configuration: z.string().meta({ description: "the boot configuration that its next network boot gets" }),
    reinstall: z
      .object({
        id: z.string(),
        imageId: z.string(),
        state: z.enum(reinstallStates),
        attempt: z.int(),
        reason: z.string().nullable(),
      })
      .nullable()
      .meta({ description: "the reinstallation that has not ended, if there is one" }),
    run: z
      .object({
        id: runIdSchema,
        stage: z.string().nullable(),
        what: z.string().nullable().meta({ description: "what is being done, in words" }),
        doneBytes: z.number().nullable(),
        totalBytes: z.number().nullable(),
        target: z.enum(targetStates),
        outcome: z.enum(["success", "failed"]).nullable().meta({ description: "null while it is running" }),
      })
      .nullable()
      .meta({ description: "the last run" }),
    lastSeenAt: timeSchema.nullable(),
  })
  .meta({ id: "MachineSummary" });

export type MachineSummary = z.infer<typeof machineSummarySchema>;

export const machineSchema = machineSummarySchema
  .extend({
    bootInfo: bootInfoSchema.nullable(),
    hardware: z.record(z.string(), z.unknown()).nullable(),
    address: z.string().nullable().meta({ description: "from where it last spoke" }),
    fingerprint: z.string().nullable().meta({ description: "of the token that waits for approval" }),
    power: z.object({ adapter: z.string() }).nullable(),
    createdAt: timeSchema,
  })
  .meta({ id: "Machine" });

export type Machine = z.infer<typeof machineSchema>;

export const declareMachineSchema = z
  .strictObject({
    id: machineIdSchema,
    name: nameSchema.optional(),
    macs: z.array(macSchema).max(32).default([]),
    serial: z.string().max(256).optional(),
    imageId: imageIdSchema.optional(),
  })
  .meta({ id: "DeclareMachine" });

export const changeMachineSchema = z
  .strictObject({
    name: nameSchema.nullable().optional(),
    macs: z.array(macSchema).max(32).optional(),
    serial: z.string().max(256).nullable().optional(),
    locked: z.boolean().optional(),
  })
  .meta({ id: "ChangeMachine" });
