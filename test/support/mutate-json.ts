/** JSON whose structure is changed: well-formed nearly always, and not what was meant. */
import { hostileTokens } from "./mutate-text.ts";
import type { Random } from "./random.ts";

const oddNames = ["__proto__", "constructor", "toString", "extra", "", "0", "\x9b", "sizeBytes"];

type Container = Record<string, unknown> | unknown[];

/** Numbers and texts that differ from what is there by little: they pass a type, and fail what must agree. */
function nearby(value: unknown, random: Random): unknown {
  if (typeof value === "number") {
    return random.pick([
      value + 1,
      value - 1,
      value * 2,
      -value,
      value + 0.5,
      value + 512,
      2 ** 53,
      0,
      1,
      String(value),
    ]);
  }
  if (typeof value === "string") {
    return random.pick([`${value} `, value.toUpperCase(), value.slice(1), value + value, "", 1, [value], "__proto__"]);
  }
  return random.pick<unknown>([null, [], {}, [value], { value }]);
}

function allContainers(value: unknown): Container[] {
  if (typeof value !== "object" || value === null) return [];
  const container = value as Container;
  return [container, ...Object.values(container).flatMap(allContainers)];
}

/** The text of `value` after one to three changes of its structure. */
export function mutateJson(value: unknown, random: Random): string {
  const root = structuredClone(value);
  const raw = new Map<string, string>();
  const hostile = () => {
    const placeholder = `\u{1f512}${raw.size}`; // stands for a token that no value gives, like 1e400
    raw.set(JSON.stringify(placeholder), random.pick(hostileTokens));
    return placeholder;
  };
  do {
    const containers = allContainers(root);
    const container = random.pick(containers);
    const keys = Object.keys(container);
    const key = keys.length > 0 ? random.pick(keys) : "0";
    const donor = random.pick(containers);
    const put = (name: string, content: unknown) =>
      Object.defineProperty(container, name, { value: content, enumerable: true, configurable: true, writable: true });
    switch (random.below(7)) {
      case 0:
        put(key, hostile());
        break;
      case 1:
        if (Array.isArray(container)) container.splice(random.below(container.length), 1);
        else delete container[key];
        break;
      case 2:
        if (Array.isArray(container)) container.push(hostile());
        else put(random.pick(oddNames.concat(key)), hostile());
        break;
      case 3:
        put(key, random.pick(Object.values(structuredClone(donor)).concat(1)));
        break;
      case 4:
        if (Array.isArray(container)) container.push(...structuredClone(container.slice(random.below(4))));
        else put(key, structuredClone(donor));
        break;
      case 5:
        if (Array.isArray(container)) container.reverse();
        break;
      default:
        put(key, nearby((container as Record<string, unknown>)[key], random));
    }
  } while (random.chance(0.3));
  let text = JSON.stringify(root, null, random.pick([0, 1]));
  for (const [placeholder, token] of raw) text = text.replace(placeholder, () => token);
  return text;
}
