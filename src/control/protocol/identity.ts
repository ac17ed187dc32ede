/** How machines, runs and network cards are named on the wire. */
import { z } from "zod";
import { ReimageError } from "../../errors.ts";

/** A machine: the UUID of its firmware (SMBIOS), lower case, or one made from its network cards. */
export const machineIdSchema = z
  .string()
  .regex(/^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/, "expected a UUID")
  .transform((id) => id.toLowerCase())
  .meta({ id: "MachineId", description: "UUID of the machine, as its firmware tells it", format: "uuid" });

/** A run, or another thing that its maker names: a random UUID. */
export const runIdSchema = z
  .string()
  .regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, "expected a UUID in lower case")
  .meta({ id: "RunId", description: "random UUID that the machine gives its run", format: "uuid" });

/** What a person calls an image, a host or a boot configuration: one word that is safe in paths and on the command line. */
export const nameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$/, "expected letters, digits and . _ + - (128 at most)")
  .meta({ id: "Name" });

/**
 * The usual form (`aa:bb:cc:dd:ee:ff`) of a MAC address in any spelling: any case; separated by `:`, `-` or `.`, or by
 * nothing (pure).
 * @throws ReimageError `usage` for anything else.
 */
export function parseMac(text: string): string {
  const mac = normalizeMac(text);
  if (mac === null) throw new ReimageError("usage", `${JSON.stringify(text)} is no MAC address`);
  return mac;
}

/** As `parseMac`, with null for what is no MAC address (pure). */
export function normalizeMac(text: string): string | null {
  const isMac =
    /^[0-9a-f]{2}([:-]?)(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}$/i.test(text) || /^([0-9a-f]{4}\.){2}[0-9a-f]{4}$/i.test(text);
  if (!isMac) return null;
  const digits = text.replace(/[:.-]/g, "").toLowerCase();
  return digits.replace(/(..)(?=.)/g, "$1:");
}

export const macSchema = z
  .string()
  .max(20)
  .transform((text, context) => {
    const mac = normalizeMac(text);
    if (mac !== null) return mac;
    context.addIssue("expected a MAC address");
    return z.NEVER;
  })
  .meta({ id: "Mac", description: "MAC address in any usual spelling; answers use aa:bb:cc:dd:ee:ff" });

/** A time as it stands in answers: ISO 8601, UTC. What a machine's clock says may be 1970, and is kept apart. */
export const timeSchema = z.iso.datetime({ offset: true });
