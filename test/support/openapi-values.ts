/** Values that a schema of the endpoint allows, made at random; and what a request can be damaged with. */
import type { OpenApi, Schema } from "./openapi.ts";
import type { Random } from "./random.ts";

/** What there is at the moment, so that most requests name something that exists. */
export interface Pools {
  readonly MachineId: readonly string[];
  readonly RunId: readonly string[];
  readonly ImageId: readonly string[];
  readonly Name: readonly string[];
  readonly Mac: readonly string[];
  /** Codes, tokens, ids of reinstallations and jobs: for texts without a form of their own. */
  readonly text: readonly string[];
}

const hex = (random: Random, length: number) => Array.from({ length }, () => random.below(16).toString(16)).join("");

export function randomUuid(random: Random): string {
  return `${hex(random, 8)}-${hex(random, 4)}-4${hex(random, 3)}-a${hex(random, 3)}-${hex(random, 12)}`;
}

const fresh: Readonly<Record<string, (random: Random) => string>> = {
  MachineId: (random) => (random.chance(0.1) ? randomUuid(random).toUpperCase() : randomUuid(random)),
  RunId: randomUuid,
  ImageId: (random) => random.pick(["os-1", "os/2:latest", `img-${hex(random, 4)}`, "a".repeat(256), "x@y+z"]),
  Name: (random) => random.pick(["local", "reimage", "rescue", `name-${hex(random, 3)}`, "a".repeat(128)]),
  Mac: (random) => {
    const digits = hex(random, 12);
    const form = random.pick([":", "-", ""]);
    return random.chance(0.2) ? digits.replace(/(....)(?=.)/g, "$1.") : digits.replace(/(..)(?=.)/g, `$1${form}`);
  },
};

/** Texts that are allowed where any text is, and that careless programs stumble over. */
const oddTexts: readonly string[] = [
  ...["", " ", "x", "0", "null", "__proto__", "constructor", "' or 1=1 --", "%", "_", "\\", "$HOME", "$(id)", "; id"],
  ...[
    "<script>alert(1)</script>",
    "\u202e",
    "\ufeff",
    "\u2028",
    "\ud800",
    "\udfff\ud800",
    "😀",
    "é",
    "\x01",
    "\x7f",
    "\x9b",
  ],
  ...["\r\n", "a\tb", "../../etc/passwd", "/dev/sda", "-rf", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"],
];

/** A value that `schema` allows. */
export function validValue(api: OpenApi, schema: Schema, random: Random, pools: Pools, depth = 0): unknown {
  const name = schema.$ref?.replace("#/components/schemas/", "") ?? "";
  const make = fresh[name];
  if (make !== undefined) {
    const pool = pools[name as keyof Pools];
    return pool.length > 0 && random.chance(0.8) ? random.pick(pool) : make(random);
  }
  const { type, ...own } = api.resolve(schema);
  const again = (each: Schema) => validValue(api, each, random, pools, depth + 1);
  const choices = own.anyOf ?? own.oneOf;
  if (choices !== undefined) return again(random.pick(choices));
  if (own.enum !== undefined) return random.pick(own.enum);
  const types = type === undefined ? [] : [type].flat();
  const isNull = types.includes("null") && (types.length === 1 || random.chance(0.15));
  switch (isNull ? "null" : types.find((each) => each !== "null")) {
    case "null":
      return null;
    case "boolean":
      return random.chance(0.5);
    case "integer":
    case "number": {
      const { minimum = -1000, maximum = Number.MAX_SAFE_INTEGER } = own;
      const near = Math.min(maximum, minimum + random.below(30));
      return random.pick([near, near, near, minimum, maximum]);
    }
    case "array": {
      const { minItems = 0, maxItems = 8, items = {} } = own;
      return Array.from({ length: minItems + random.below(Math.min(8, maxItems - minItems + 1)) }, () => again(items));
    }
    case "object":
      return validObject(api, own, random, pools, depth);
    case "string":
      return validText(own, random, pools);
    default:
      return depth > 3 ? random.pick([0, null, "x"]) : random.pick<unknown>([1, "x", null, [], {}, [[{ a: [1e300] }]]]);
  }
}

function validObject(api: OpenApi, schema: Schema, random: Random, pools: Pools, depth: number): object {
  const { properties = {}, required = [], additionalProperties } = schema;
  const made: [string, unknown][] = [];
  for (const [name, each] of Object.entries(properties)) {
    if (!required.includes(name) && random.chance(0.4)) continue;
    made.push([name, validValue(api, each, random, pools, depth + 1)]);
  }
  const isOpen = additionalProperties === true || typeof additionalProperties === "object";
  while (isOpen && random.chance(0.4)) {
    const name = random.pick(["state", "stage", "message", "what", "doneBytes", "target", "__proto__", "x", "é"]);
    if (Object.hasOwn(properties, name)) continue;
    made.push([
      name,
      random.pick<unknown>(["partial", "complete", 5, -1, 1e300, "", null, { y: [1] }, random.pick(oddTexts)]),
    ]);
  }
  // Not by assignment: `__proto__` must become a property.
  return Object.fromEntries(made);
}

function validText(schema: Schema, random: Random, pools: Pools): string {
  const { pattern = "", minLength = 0, maxLength = 64 } = schema;
  if (pattern.includes("{64}$")) return hex(random, 64);
  if (pattern.includes("A-F]{8}")) return random.pick(pools.MachineId.concat(randomUuid(random)));
  if (pattern.includes("0-9a-f]{8}")) return pools.RunId.length > 0 ? random.pick(pools.RunId) : randomUuid(random);
  if (random.chance(0.1)) return "m".repeat(maxLength);
  const kinds = ["run-started", "stage-started", "step", "progress", "target-state", "run-finished", "run-failed"];
  const text = random.pick([random.pick(oddTexts), random.pick(kinds), random.pick(pools.text.concat("x"))]);
  return text.length >= minLength && text.length <= maxLength ? text : "x".repeat(Math.max(1, minLength));
}
