/** The options of `reimage serve`, checked as far as they can be without looking at a file. Pure. */
import { parseArgs } from "node:util";
import ipaddr from "ipaddr.js";
import { nearest } from "../config/nearest.ts";
import { type FacadeName, type FacadeOptions, facades } from "../control/server/facades/mount.ts";
import { type AddressRange, parseAddressRange } from "../control/server/security/address-range.ts";
import { ReimageError } from "../errors.ts";

/**
 * Loopback only: who opens the endpoint to a network decides that, and about TLS. The port is in no registry of IANA's, and
 * below those that systems give to outgoing connections.
 */
export const DEFAULT_LISTEN = "127.0.0.1:7050";
export const DEFAULT_DATA = "/var/lib/reimage";
export const DEFAULT_KEEP_DAYS = 90;

/** What the command line asks for. No file has been looked at. */
export interface ServeRequest {
  readonly hostname: string;
  readonly port: number;
  readonly dataDir: string;
  /** Never to be shown: it may hold a password. */
  readonly databaseUrl: string | null;
  readonly hostsPath: string | null;
  readonly tls: { readonly certPath: string; readonly keyPath: string } | null;
  readonly facades: FacadeOptions;
  readonly trustedProxies: readonly AddressRange[];
  readonly keepDays: number;
  readonly pxelinux: { readonly root: string; readonly configurationsDir: string } | null;
}

/** The options by name, for `--help` and docs/control.md to be held to. */
export const serveOptions = {
  listen: { type: "string" },
  data: { type: "string" },
  hosts: { type: "string" },
  "tls-cert": { type: "string" },
  "tls-key": { type: "string" },
  facade: { type: "string", multiple: true },
  "facade-clients": { type: "string", multiple: true },
  "trusted-proxy": { type: "string", multiple: true },
  "keep-days": { type: "string" },
  pxelinux: { type: "string" },
  "pxelinux-configurations": { type: "string" },
} as const;

/** @throws ReimageError `usage` */
export function parseServeOptions(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): ServeRequest {
  const values = parse(args);
  const empty = Object.entries(values).find(([, value]) => [value].flat().includes(""));
  if (empty !== undefined) throw refuse(`--${empty[0]} is empty`);
  const tls = bothOrNone(values, "tls-cert", "tls-key");
  const pxelinux = bothOrNone(values, "pxelinux", "pxelinux-configurations");
  return {
    ...parseListen(values.listen ?? DEFAULT_LISTEN),
    dataDir: values.data ?? DEFAULT_DATA,
    databaseUrl: parseDatabaseUrl(environment.DATABASE_URL),
    hostsPath: values.hosts ?? null,
    tls: tls === null ? null : { certPath: tls[0], keyPath: tls[1] },
    facades: parseFacades(values.facade ?? [], values["facade-clients"] ?? []),
    trustedProxies: parseRanges("trusted-proxy", values["trusted-proxy"] ?? []),
    keepDays: parseDays(values["keep-days"] ?? String(DEFAULT_KEEP_DAYS)),
    pxelinux: pxelinux === null ? null : { root: pxelinux[0], configurationsDir: pxelinux[1] },
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: serveOptions }).values;
  } catch (cause) {
    throw refuse(cause instanceof Error ? cause.message : String(cause));
  }
}

function parseDays(text: string): number {
  const days = Number(text);
  if (/^[0-9]{1,5}$/.test(text) && days >= 1) return days;
  throw refuse(`--keep-days: ${JSON.stringify(text)} is no number of days`);
}

/** `127.0.0.1:7050`, `[::1]:7050` or `name:7050` (pure). @throws ReimageError `usage` */
export function parseListen(text: string): { readonly hostname: string; readonly port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|([A-Za-z0-9][A-Za-z0-9.-]*)):([0-9]{1,5})$/.exec(text);
  const [, v6, name, digits] = match ?? [];
  const hostname = v6 ?? name;
  const port = Number(digits);
  const isAddress = v6 === undefined || ipaddr.IPv6.isValid(v6);
  if (hostname !== undefined && isAddress && port <= 65535) return { hostname, port };
  throw new ReimageError("usage", `--listen ${text}: expected HOST:PORT`, {
    hint: "such as 127.0.0.1:7050, 0.0.0.0:7050 for all IPv4 addresses, [::]:7050 for all addresses",
  });
}

/** Whether only this host can reach what listens there (pure). */
export function isLoopback(hostname: string): boolean {
  if (hostname === "localhost") return true;
  return ipaddr.isValid(hostname) && ipaddr.process(hostname).range() === "loopback";
}

function parseDatabaseUrl(url: string | undefined): string | null {
  if (url === undefined || url === "") return null;
  const isPostgres = URL.canParse(url) && /^postgres(ql)?:$/.test(new URL(url).protocol);
  if (isPostgres) return url;
  // Without what it says: there may be a password in it.
  throw new ReimageError("usage", "DATABASE_URL is no address of a PostgreSQL database", {
    hint: "it looks like postgres://user:password@host:5432/database; special characters in the password as %40. Unset it to use SQLite",
  });
}

function parseFacades(named: readonly string[], ranges: readonly string[]): FacadeOptions {
  const known = Object.keys(facades);
  for (const name of named) {
    if (known.includes(name)) continue;
    throw refuse(`--facade ${name}: there is no such facade; did you mean ${nearest(name, known)}?`);
  }
  if (named.length > 0 && ranges.length === 0) {
    throw new ReimageError("usage", "--facade needs --facade-clients", {
      hint: "facades ask for no token: name the address ranges that may use them, such as --facade-clients 10.0.9.0/24",
    });
  }
  if (named.length === 0 && ranges.length > 0) throw refuse("--facade-clients is for facades: name them with --facade");
  const names = [...new Set(named)] as unknown as readonly FacadeName[];
  return { names, clients: parseRanges("facade-clients", ranges) };
}

function parseRanges(option: keyof typeof serveOptions, ranges: readonly string[]): readonly AddressRange[] {
  try {
    return ranges.map(parseAddressRange);
  } catch (cause) {
    if (!(cause instanceof ReimageError)) throw cause;
    const hint = cause.hint === undefined ? {} : { hint: cause.hint };
    throw new ReimageError("usage", `--${option}: ${cause.message}`, hint);
  }
}

function bothOrNone<A extends string, B extends string>(
  values: Readonly<Partial<Record<A | B, string | undefined>>>,
  first: A,
  second: B,
): readonly [string, string] | null {
  const [a, b] = [values[first], values[second]];
  if (a === undefined && b === undefined) return null;
  if (a !== undefined && b !== undefined) return [a, b];
  throw refuse(a === undefined ? `--${second} needs --${first}` : `--${first} needs --${second}`);
}

function refuse(message: string): ReimageError {
  return new ReimageError("usage", message, { hint: "`reimage serve --help` lists the options" });
}
