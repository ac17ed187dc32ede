/** XML whose structure is changed: elements and attributes are lost, doubled, moved, renamed, filled with something else. */
import { hostileTokens } from "./mutate-text.ts";
import type { Random } from "./random.ts";

/** Numbers near the one that is there: they are read well, and disagree with the rest. */
function nearby(text: string, random: Random): string {
  return text.replace(/\d+/g, (digits) => {
    if (random.chance(0.5)) return digits;
    const value = Number(digits);
    return String(random.pick([value + 1, value - 1, value * 2, Math.floor(value / 2), 0, 2 ** 53 - 1, value + 1000]));
  });
}

const additions: readonly string[] = [
  '<!DOCTYPE bmap [<!ENTITY a "0123456789"><!ENTITY b "&a;&a;&a;&a;">]>',
  '<!DOCTYPE bmap SYSTEM "file:///etc/passwd">',
  "<?xml-stylesheet href='x'?>",
  "<![CDATA[1]]>",
  "<!-- comment -->",
  "<Range/>",
  "<Range> 0 </Range>",
  "<BlockMap></BlockMap>",
  "<ImageSize> 1 </ImageSize>",
  "<__proto__>1</__proto__>",
  "<constructor/>",
  "stray text",
  "&b;",
];

/** `text` with one to three changes of its structure. */
export function mutateXml(text: string, random: Random): string {
  let result = text;
  do {
    const elements = [...result.matchAll(/<(\w+)([^<>]*)>([^<>]*)<\/\1>/g)];
    if (elements.length === 0) return result;
    const { 0: whole, 1: name = "", 2: attributes = "", 3: content = "", index } = random.pick(elements);
    const other = random.pick(elements);
    const put = (replacement: string) => {
      result = result.slice(0, index) + replacement + result.slice(index + whole.length);
    };
    const element = (newContent: string, newAttributes = attributes) =>
      `<${name}${newAttributes}>${newContent}</${name}>`;
    switch (random.below(11)) {
      case 0:
        put(element(random.pick(hostileTokens)));
        break;
      case 1:
      case 2:
        put(element(nearby(content, random)));
        break;
      case 3:
        put(element(random.pick([other[3] ?? "", `${content}${other[3]}`, content.trim(), `${content}-${content}`])));
        break;
      case 4:
        put("");
        break;
      case 5:
        put(whole + whole);
        break;
      case 6:
        put(other[0]);
        break;
      case 7:
        put(element(other[0]));
        break;
      case 8:
        put(
          element(
            content,
            random.pick(["", ` chksum="${random.pick(hostileTokens)}"`, ` __proto__="1"`, other[2] ?? ""]),
          ),
        );
        break;
      case 9:
        put(random.chance(0.5) ? whole + random.pick(additions) : element(content + random.pick(additions)));
        break;
      default:
        result = result.replace(
          /version="[^"]*"/g,
          () => `version="${random.pick(["1.0", "2.1", "1.3", "3.0", "2", ""])}"`,
        );
    }
  } while (random.chance(0.3));
  return result;
}
