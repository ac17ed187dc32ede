/** What the entries of a hosts file look like, and how what is wrong with one is told (pure). */
import { z } from "zod";
import { nearest } from "../../config/nearest.ts";
import { bootConfigurationSchema } from "../protocol/boot.ts";
import { machineIdSchema, macSchema, nameSchema } from "../protocol/identity.ts";
import { imageIdSchema, imageSchema } from "../protocol/image.ts";
import { powerActions } from "../protocol/power.ts";
import { powerAdapterSchema } from "./power/adapter.ts";

const quoted = "expected text (put a value made of digits in quotes)";

const powerSchema = z.strictObject({
  adapter: z.string(),
  variables: z
    .record(z.string(), z.string(quoted))
    .default({})
    .refine((variables) => !Object.hasOwn(variables, "machine"), "`machine` is always the machine's id"),
  passwordFile: z.string(quoted).min(1).optional(),
});

export const machineEntrySchema = z.strictObject({
  id: machineIdSchema,
  name: nameSchema.optional(),
  macs: z.array(macSchema).max(32).optional(),
  serial: z.string(quoted).max(256).optional(),
  image: imageIdSchema.optional(),
  locked: z.boolean().optional(),
  power: powerSchema.optional(),
});
export type MachineEntry = z.infer<typeof machineEntrySchema>;

/** The sections of the file, and what each of their entries must be. */
export const sections = {
  images: imageSchema,
  bootConfigurations: bootConfigurationSchema,
  powerAdapters: powerAdapterSchema,
  machines: machineEntrySchema,
} as const;
export type SectionName = keyof typeof sections;
export const sectionNames = Object.keys(sections) as readonly SectionName[];

/** The keys that an entry may have, by where they stand in it. */
function knownKeys(section: SectionName, path: readonly PropertyKey[]): readonly string[] {
  const [key] = path;
  if (section === "images") return Object.keys(imageSchema.shape);
  if (section === "bootConfigurations") {
    return [...new Set(bootConfigurationSchema.options.flatMap(({ shape }) => Object.keys(shape)))];
  }
  if (section === "machines") return Object.keys(key === "power" ? powerSchema.shape : machineEntrySchema.shape);
  if (key === "commands" || key === "expected") return powerActions;
  return Object.keys(powerAdapterSchema.parse({ name: "any", commands: {} }));
}

/** An issue of an entry, in words. @param place of the entry: `machines[3] (kiosk-7)` */
export function describeIssue(section: SectionName, place: string, issue: z.core.$ZodIssue): string[] {
  const path = issue.path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
  if (issue.code === "unrecognized_keys") {
    const known = knownKeys(section, issue.path);
    return issue.keys.map((key) => `${place}${path}: ${unknownKey(key, known)}`);
  }
  if (issue.code === "invalid_key" && section === "powerAdapters") {
    const name = String(issue.path.at(-1));
    const known = knownKeys(section, issue.path.slice(0, -1));
    const isFixed = issue.path[0] === "commands" || issue.path[0] === "expected";
    if (isFixed) return [`${place}.${String(issue.path[0])}: ${unknownKey(name, known)}`];
  }
  if (issue.code === "invalid_union" && issue.path.at(-1) === "kind") {
    return [`${place}.kind: expected local, linux or text`];
  }
  const isMissing = issue.code === "invalid_type" && issue.message.endsWith("received undefined");
  return [`${place}${path}: ${isMissing ? "is missing" : issue.message}`];
}

export function unknownKey(key: string, known: readonly string[]): string {
  const begun = known.find((each) => each.toLowerCase().startsWith(key.toLowerCase()));
  return `unknown key ${JSON.stringify(key)}; did you mean ${JSON.stringify(begun ?? nearest(key, known))}?`;
}
