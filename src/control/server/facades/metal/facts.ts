/** What only this protocol knows of a machine. Passwords are never kept. */
import { z } from "zod";
import type { WriteScope } from "../../database/store.ts";
import { changeFacadePart, facadePart } from "../../operations/facade-facts.ts";

const PART = "metal";
const text = z.string().default("");
const anything = z.record(z.string(), z.unknown());

const factsSchema = z.object({
  partitionId: text,
  rackId: text,
  tags: z.array(z.string()).default([]),
  hardware: anything.nullable().default(null),
  bios: anything.nullable().default(null),
  ipmi: z.record(z.string(), z.string()).nullable().default(null),
  /** "", RESERVED or LOCKED, and why. */
  stateValue: text,
  stateDescription: text,
  allocationName: text,
  allocationDescription: text,
  /** When it was given back; a reinstallation that was requested since allocates it again. */
  freedAtMs: z.number().nullable().default(null),
  /** The reinstallation for which it has begun to boot, and not yet spoken. */
  bootedFor: z.string().nullable().default(null),
});
export type MetalFacts = z.infer<typeof factsSchema>;

/** @param facade the column of that name. */
export function parseMetalFacts(facade: string | null): MetalFacts {
  return factsSchema.parse(facadePart(facade, PART) ?? {});
}

export async function changeMetalFacts(
  scope: WriteScope,
  machineId: string,
  change: Partial<MetalFacts>,
): Promise<void> {
  await changeFacadePart(scope, machineId, PART, ({ facade }) => ({ ...parseMetalFacts(facade), ...change }));
}
