/** Boot configurations: what a machine gets that asks the network what to boot. */
import { z } from "zod";
import { nameSchema } from "./identity.ts";

/** The configuration that is always there: boot from the disk. */
export const LOCAL = "local";
/** The configurations that a reinstallation switches to, where the operator has defined them. */
export const REINSTALL = "reimage";
export const RESCUE = "rescue";

export const bootConfigurationSchema = z
  .discriminatedUnion("kind", [
    z.strictObject({ name: nameSchema, kind: z.literal("local") }),
    z.strictObject({
      name: nameSchema,
      kind: z.literal("linux"),
      kernel: z.string().min(1).max(2048),
      initrd: z.array(z.string().min(1).max(2048)).max(16).default([]),
      cmdline: z.string().max(4096).default(""),
    }),
    z.strictObject({
      name: nameSchema,
      kind: z.literal("text"),
      bootloader: z.enum(["pxelinux", "ipxe", "grub"]),
      content: z.string().max(65536),
    }),
  ])
  .meta({ id: "BootConfiguration" });
export type BootConfiguration = z.infer<typeof bootConfigurationSchema>;

export const deploySchema = z
  .strictObject({
    machines: z
      .array(z.string().min(1).max(128))
      .min(1)
      .max(10_000)
      .meta({ description: "ids, names or MACs; all of them, or none, are switched" }),
    boots: z
      .int()
      .min(1)
      .max(1000)
      .nullable()
      .default(null)
      .meta({ description: "for so many network boots, then `afterwards`; null: until something else is deployed" }),
    afterwards: nameSchema.default(LOCAL),
    powerCycle: z.boolean().default(false),
  })
  .meta({ id: "Deploy" });
export type Deploy = z.infer<typeof deploySchema>;

export const deploymentSchema = z
  .object({ machineId: z.string(), configuration: nameSchema, boots: z.int().nullable(), afterwards: nameSchema })
  .meta({ id: "Deployment" });
export type Deployment = z.infer<typeof deploymentSchema>;
