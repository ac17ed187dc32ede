/** Damaged and hostile text, made from text that is valid. */
import type { Random } from "./random.ts";

/** What parsers trip over: wrong types, numbers beyond all measure, names of prototypes, things that are not printable. */
export const hostileTokens: readonly string[] = [
  ...["", "0", "-0", "-1", "1", "2", "0.5", "1e3", "1e400", "-1e400", "1e-400", "NaN", "Infinity", "0x10", "+1", "1_0"],
  ...["4294967296", "9007199254740991", "9007199254740992", "18446744073709551616", "9".repeat(400), "１２", "٣"],
  ...["null", "true", "[]", "{}", '""', '"x"', '"1"', "undefined", "__proto__", '{"__proto__":{"version":1}}'],
  ...["constructor", "toString", "hasOwnProperty", '"constructor"', "&lt;", "&#49;", "&x;", "&__proto__;", "&#0;"],
  ...[
    "\0",
    "\n",
    "\r",
    "\r\n",
    "\t",
    " ",
    "\u00a0",
    "\u2028",
    "\ufeff",
    "\ud800",
    "\udfff",
    "\x9b31m",
    "\x1b[2J",
    "😀",
  ],
  ...[
    "<",
    ">",
    "</",
    "/>",
    "<!--",
    "-->",
    "<!DOCTYPE x>",
    "<![CDATA[1]]>",
    "<?x?>",
    "%",
    "../..",
    "'",
    '"',
    "\\",
    "\\u0000",
  ],
  ...[
    "A".repeat(20_000),
    "[".repeat(20_000),
    '{"a":'.repeat(5000),
    "<a>".repeat(5000),
    "\n".repeat(5000),
    " ".repeat(5000),
  ],
];

type Mutation = (text: string, random: Random) => string;

const splice = (text: string, from: number, to: number, middle: string) =>
  text.slice(0, from) + middle + text.slice(to);

const mutations: readonly Mutation[] = [
  function flipBit(text, random) {
    const at = random.below(text.length);
    return splice(text, at, at + 1, String.fromCharCode(text.charCodeAt(at) ^ (1 << random.below(8))));
  },
  function remove(text, random) {
    const at = random.below(text.length);
    return splice(text, at, at + 1 + random.below(20), "");
  },
  function insert(text, random) {
    const at = random.below(text.length + 1);
    return splice(text, at, at, String.fromCharCode(random.below(random.chance(0.9) ? 128 : 65536)));
  },
  function double(text, random) {
    const at = random.below(text.length);
    const to = at + 1 + random.below(60);
    return splice(text, to, to, text.slice(at, to));
  },
  function swapLines(text, random) {
    const lines = text.split("\n");
    const [a, b] = [random.below(lines.length), random.below(lines.length)];
    return lines
      .with(a, lines[b] ?? "")
      .with(b, lines[a] ?? "")
      .join("\n");
  },
  function repeatLine(text, random) {
    const lines = text.split("\n");
    const at = random.below(lines.length);
    return lines.toSpliced(random.below(lines.length), random.below(2), lines[at] ?? "").join("\n");
  },
  function replaceToken(text, random) {
    const tokens = [...text.matchAll(/[\w.+-]+|"[^"\n]*"/g)];
    if (tokens.length === 0) return random.pick(hostileTokens);
    const token = random.pick(tokens);
    return splice(text, token.index, token.index + token[0].length, random.pick(hostileTokens));
  },
  function exchangeTokens(text, random) {
    const tokens = [...text.matchAll(/[\w.+-]+|"[^"\n]*"/g)];
    if (tokens.length === 0) return text;
    const [to, from] = [random.pick(tokens), random.pick(tokens)];
    return splice(text, to.index, to.index + to[0].length, from[0]);
  },
  function insertHostile(text, random) {
    const at = random.below(text.length + 1);
    return splice(text, at, at, random.pick(hostileTokens));
  },
  function cut(text, random) {
    return random.chance(0.5) ? text.slice(0, random.below(text.length)) : text.slice(random.below(text.length));
  },
  function otherLineEnds(text) {
    return text.replaceAll("\n", "\r\n");
  },
];

/** `text` with one to three things done to it, most often one. */
export function mutateText(text: string, random: Random): string {
  let result = text;
  do result = random.pick(mutations)(result, random);
  while (random.chance(0.3));
  return result;
}
