/** The bodies that this protocol knows, with their fields as `foldSpellings` leaves them. */
import { z } from "zod";
import { normalizeMac } from "../../../protocol/identity.ts";

const short = z.string().max(1024);
const required = short.min(1, "must not be empty");
const LARGEST_REGISTRATION = 64 * 1024;

/** What a new OS is started with. The console's password is taken, for it is part of the protocol, and never kept. */
const installed = {
  primarydisk: required,
  ospartition: required,
  initrd: required,
  cmdline: z.string().max(4096),
  kernel: required,
  bootloaderid: short,
};

/** A success says everything; a failure is taken with whatever it says. */
export const reportSchema = z.discriminatedUnion("success", [
  z.object({ success: z.literal(true), message: z.string().max(8192), consolepassword: z.string(), ...installed }),
  z.object({ success: z.literal(false), message: z.string().max(8192).default("") }),
]);

export const finalizeSchema = z.object({ consolepassword: z.string(), ...installed });

export type Installed = Pick<z.output<typeof finalizeSchema>, keyof typeof installed>;

export const abortSchema = z.object({ primarydiskwiped: z.boolean("expected true or false") });

export const eventSchema = z.object({
  event: z.string(),
  message: z.string().default(""),
  time: z.string().max(64).nullish(),
});

export const reinstallSchema = z.object({
  id: short.default(""),
  name: short.default(""),
  description: short.default(""),
  imageid: short.default(""),
});

export const machineStateSchema = z.object({
  value: z.enum(["", "RESERVED", "LOCKED"]),
  description: short.default(""),
});

const nic = z.looseObject({
  mac: z.string().transform((mac, context) => {
    const normal = normalizeMac(mac);
    if (normal === null) context.addIssue("expected a MAC address");
    return normal ?? "";
  }),
});
/** Kept without its password. */
const ipmi = z.looseObject({
  address: short.default(""),
  mac: short.default(""),
  user: short.default(""),
  interface: short.default(""),
});
const anything = z.record(z.string(), z.unknown());

/** What a machine says of itself: flat as metal-hammer sends it, or with `hardware` apart as metal-core passes it on. */
export const registerSchema = z
  .object({
    uuid: z.string().max(64).default(""),
    cpucores: z.number().optional(),
    memory: z.number().optional(),
    disks: z.array(anything).max(1024).nullish(),
    nics: z.array(nic).max(256).nullish(),
    hardware: z
      .looseObject({ nics: z.array(nic).max(256).nullish(), disks: z.array(anything).max(1024).nullish() })
      .nullish(),
    partitionid: short.default(""),
    rackid: short.default(""),
    tags: z.array(short).max(256).nullish(),
    bios: anything.nullish(),
    ipmi: ipmi.nullish(),
  })
  .refine((body) => JSON.stringify(body).length <= LARGEST_REGISTRATION, "says too much of the machine");
export type Registration = z.output<typeof registerSchema>;

/** The hardware in either form (pure). */
export function hardwareOf(body: Registration): Record<string, unknown> {
  if (body.hardware != null) return body.hardware;
  return { cpu_cores: body.cpucores ?? 0, memory: body.memory ?? 0, disks: body.disks ?? [], nics: body.nics ?? [] };
}

/** The network cards in either form (pure). */
export function macsOf(body: Registration): string[] {
  return [...new Set((body.hardware?.nics ?? body.nics ?? []).map(({ mac }) => mac))];
}

/** Addresses of management controllers, by machines. */
export const ipmiReportSchema = z.object({
  partitionid: short.default(""),
  leases: z.record(z.string().max(64), z.string().max(64)),
});

/** What machines can be searched by. Another field is refused: whoever frees what he finds must not find too much. */
export const findSchema = z.strictObject({
  id: short.optional(),
  name: short.optional(),
  partitionid: short.optional(),
  rackid: short.optional(),
  tags: z.array(short).optional(),
  allocationname: short.optional(),
  allocationhostname: short.optional(),
  allocationimageid: short.optional(),
  nicsmacaddresses: z.array(short).optional(),
});
export type Find = z.output<typeof findSchema>;
