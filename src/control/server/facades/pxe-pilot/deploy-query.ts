/** The body of PXE Pilot's deploy request, read as its server reads it: by Go's encoding/json, whatever the content type (pure). */
import { ReimageError } from "../../../../errors.ts";
import { normalizeMac } from "../../../protocol/identity.ts";

/** A host to be switched, by its name, one of its MACs, or both. */
export interface HostQuery {
  readonly name: string | null;
  /** In the usual form; as it was written where it is no MAC. */
  readonly mac: string | null;
  readonly reboot: boolean;
  /** What a host must not say here. */
  readonly hasConfiguration: boolean;
}

export interface DeployQuery {
  readonly hosts: readonly HostQuery[];
  /** Beyond PXE Pilot: for so many boots, then `afterwards`. */
  readonly boots: number | null;
  readonly afterwards: string | null;
}

const MOST_HOSTS = 10_000;
const MOST_BOOTS = 1000;

/** @throws ReimageError `invalid` where it is no JSON, or a value is of the wrong type. */
export function parseDeployQuery(text: string): DeployQuery {
  const query = asObject(parseJson(text), "the body");
  const hosts = read(query, "hosts") ?? [];
  if (!Array.isArray(hosts) || hosts.length > MOST_HOSTS) {
    throw new ReimageError("invalid", `hosts must be a list of at most ${MOST_HOSTS}`);
  }
  const boots = read(query, "boots") ?? null;
  if (boots !== null && !(typeof boots === "number" && Number.isInteger(boots) && boots >= 1 && boots <= MOST_BOOTS)) {
    throw new ReimageError("invalid", `boots must be a whole number from 1 to ${MOST_BOOTS}`);
  }
  return { hosts: hosts.map(parseHost), boots, afterwards: textOf(query, "afterwards") };
}

function parseHost(value: unknown, index: number): HostQuery {
  const host = asObject(value, `hosts[${index}]`);
  const mac = textOf(host, "macaddress") ?? textOf(host, "mac");
  const reboot = read(host, "reboot") ?? false;
  if (typeof reboot !== "boolean") throw new ReimageError("invalid", `hosts[${index}]: reboot must be true or false`);
  const configuration = read(host, "configuration") ?? "";
  const name = textOf(host, "name");
  return {
    name,
    mac: mac === null ? null : (normalizeMac(mac) ?? mac),
    reboot,
    hasConfiguration: configuration !== "",
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ReimageError("invalid", "the body is no JSON", { cause });
  }
}

function asObject(value: unknown, what: string): ReadonlyMap<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ReimageError("invalid", `${what} must be an object`);
  }
  // `macAddress` in its program, `mac_address` in its manual, and Go does not mind the case.
  return new Map(Object.entries(value).map(([key, each]) => [key.toLowerCase().replaceAll("_", ""), each]));
}

function read(object: ReadonlyMap<string, unknown>, key: string): unknown {
  return object.get(key) ?? undefined; // null is as if it were left out
}

/** Null for what is left out or empty, as Go cannot tell these apart. */
function textOf(object: ReadonlyMap<string, unknown>, key: string): string | null {
  const value = read(object, key) ?? "";
  if (typeof value !== "string" || value.length > 256) throw new ReimageError("invalid", `${key} must be a short text`);
  return value === "" ? null : value;
}
