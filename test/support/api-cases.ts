/** Requests to the API, made from its own description: good ones, damaged ones, and ones that make no sense at all. */
import { mutateJson } from "./mutate-json.ts";
import { hostileTokens, mutateText } from "./mutate-text.ts";
import type { OpenApi, Operation } from "./openapi.ts";
import { type Pools, randomUuid, validValue } from "./openapi-values.ts";
import type { Random } from "./random.ts";

/** Who can ask. */
export interface Callers {
  readonly admin: string;
  readonly operator: string;
  readonly viewer: string;
  /** Tokens of machines, by their ids. */
  readonly machines: ReadonlyMap<string, string>;
}

export interface ApiCase {
  readonly operation: Operation;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array<ArrayBuffer> | null;
  /** Whether the description allows it, and the token too: then it must not be called malformed, nor be refused. */
  readonly isGood: boolean;
}

/** One request. Two of three are good. */
export function makeCase(api: OpenApi, random: Random, pools: Pools, callers: Callers): ApiCase {
  const operation = random.pick(api.operations);
  const damage = random.chance(0.66) ? "none" : random.pick(["body", "body", "body", "parameter", "token", "type"]);
  const own = [...callers.machines.keys()];
  const machineId = operation.access === "machine" ? random.pick(own) : null;
  const pathIds = machineId === null ? pools : { ...pools, MachineId: [machineId] };
  const values = new Map<string, string>();
  for (const parameter of operation.parameters) {
    if (parameter.required !== true && random.chance(0.5)) continue;
    const { schema } = parameter;
    const value = machineId !== null && parameter.in === "path" ? machineId : valueFor(api, parameter, random, pathIds);
    // A number that is left out is a number; the text "null" is none.
    values.set(parameter.name, String(value ?? schema.minimum ?? 1));
  }
  let isGood = damage === "none";
  if (damage === "parameter" && values.size > 0) {
    values.set(random.pick([...values.keys()]), random.pick(hostileTokens).slice(0, random.pick([40, 3000])));
  }
  const headers: Record<string, string> = {};
  let path = operation.path;
  const query: string[] = [];
  for (const { name, in: place } of operation.parameters) {
    const value = values.get(name);
    if (value === undefined) continue;
    const encoded = encodeURIComponent(value.toWellFormed());
    if (place === "path") path = path.replace(`{${name}}`, encoded);
    if (place === "query") query.push(`${name}=${encoded}`);
    if (place === "header" && /^[!-~]+$/.test(value)) headers[name] = value;
  }
  // An address with an empty part, or one that browsers fold (`..`), is another address.
  if (/\/\/|\/$|\/(\.|%2e){1,2}(\/|$)/i.test(path)) isGood = false;
  if (query.length > 0) path += `?${query.join("&")}`;
  const token = tokenFor(operation, machineId, random, callers, damage === "token");
  if (token !== null) headers.authorization = `Bearer ${token}`;
  let body: ApiCase["body"] = null;
  if (operation.body !== null) {
    const value = validValue(api, operation.body, random, pools) as Record<string, unknown>;
    agree(operation, value, values);
    // By chance, names of machines are seldom among texts.
    if (operation.path.endsWith("/deploy") && random.chance(0.7)) value.machines = [random.pick(pools.MachineId)];
    headers["content-type"] =
      damage === "type" ? random.pick(["text/plain", "multipart/form-data", "x"]) : "application/json";
    body = JSON.stringify(value);
    if (damage === "body") body = damaged(value, random);
    if (operation.path === "/session" || operation.path === "/enrol") isGood = false; // the secrets are wrong
  }
  return { operation, path, headers, body, isGood };
}

function valueFor(api: OpenApi, parameter: Operation["parameters"][number], random: Random, pools: Pools): unknown {
  const { schema, name } = parameter;
  if (name.endsWith("Id") && schema.$ref === undefined) {
    return pools.text.length > 0 ? random.pick(pools.text) : "x";
  }
  return validValue(api, schema, random, pools);
}

/** What the description cannot say: that the path and the body name the same. */
function agree(operation: Operation, value: Record<string, unknown>, values: ReadonlyMap<string, string>): void {
  if (operation.method !== "PUT") return;
  if (operation.path === "/images/{imageId}") value.id = values.get("imageId");
  else value.name = values.get("name");
}

function tokenFor(
  { access }: Operation,
  machineId: string | null,
  random: Random,
  callers: Callers,
  isWrong: boolean,
): string | null {
  const anybody = [callers.viewer, ...callers.machines.values(), randomUuid(random), "x".repeat(300)];
  if (isWrong) return random.chance(0.3) ? null : random.pick(anybody);
  if (access === "anyone") return null;
  return access === "machine" ? (callers.machines.get(machineId ?? "") ?? null) : callers[access];
}

function damaged(value: unknown, random: Random): string | Uint8Array<ArrayBuffer> {
  const text = JSON.stringify(value);
  switch (random.below(8)) {
    case 0:
      return mutateText(text, random);
    case 1:
      return Buffer.from(text.replace(/[a-z]/, "\xff"), "latin1");
    case 2:
      return Bun.gzipSync(Buffer.from(text));
    case 3:
      return random.pick([
        "",
        "null",
        "[]",
        '"x"',
        "1",
        "{",
        `${text}${text}`,
        "[".repeat(100_000),
        '{"a":'.repeat(50_000),
      ]);
    case 4:
      return text.replace(/":"/, '":"\\u0000');
    default:
      return mutateJson(value, random);
  }
}
