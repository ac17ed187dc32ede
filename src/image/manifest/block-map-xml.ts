/** The XML of a block map, taken apart: which elements there are and what they hold, not what it means. */
import { SaxesParser } from "saxes";
import { quote } from "./foreign-text.ts";

/** The elements that hold one value; each of them once. */
const fieldNames = [
  "ImageSize",
  "BlockSize",
  "BlocksCount",
  "MappedBlocksCount",
  "ChecksumType",
  "BmapFileChecksum",
] as const;

export type BlockMapField = (typeof fieldNames)[number];

/** What the elements hold, without the blanks around it. */
export interface BlockMapXml {
  readonly fields: Readonly<Record<BlockMapField, string>>;
  readonly ranges: readonly { readonly blocks: string; readonly checksum: string | undefined }[];
}

/** Where an element may be, and its one attribute. Everything else is refused: it would not be obeyed either. */
const elements = new Map<string, { readonly parent: string; readonly attribute?: string }>([
  ["bmap", { parent: "", attribute: "version" }],
  ...fieldNames.map((name) => [name, { parent: "bmap" }] as const),
  ["BlockMap", { parent: "bmap" }],
  ["Range", { parent: "BlockMap", attribute: "chksum" }],
]);

/**
 * Takes apart the XML of a block map of version 2 (pure). Document types, and with them entities, are refused.
 * @param refuse throws the error that says what is wrong
 */
export function parseBlockMapXml(text: string, refuse: (problem: string) => never): BlockMapXml {
  const open: string[] = [];
  const found = new Map<string, string>();
  const ranges: { blocks: string; checksum: string | undefined }[] = [];
  let content = "";
  let attribute: string | undefined;
  const parser = new SaxesParser();
  const takeContent = () => {
    const taken = content.trim();
    content = "";
    return taken;
  };
  const refuseStrayText = () => {
    const stray = takeContent();
    if (stray !== "") refuse(`unexpected ${quote(stray)} in <${open.at(-1)}>`);
  };

  // Without a handler saxes throws errors of its own, which would have to be told from ours.
  parser.on("error", (error) => refuse(`no well-formed XML: ${quote(error.message)}`));
  parser.on("doctype", () => refuse("a document type (<!DOCTYPE) is not allowed"));
  parser.on("processinginstruction", ({ target }) =>
    refuse(`a processing instruction (${quote(target)}) is not allowed`),
  );
  parser.on("cdata", () => refuse("a CDATA section is not allowed"));
  parser.on("text", (piece) => {
    content += piece;
  });
  parser.on("opentag", ({ name, attributes }) => {
    if (open.length > 0) refuseStrayText();
    content = "";
    const element = elements.get(name);
    if (element === undefined || element.parent !== (open.at(-1) ?? "")) {
      refuse(`unexpected element ${quote(name)}${open.length > 0 ? ` in <${open.at(-1)}>` : ""}`);
    }
    const unknown = Object.keys(attributes).find((key) => key !== element.attribute);
    if (unknown !== undefined) refuse(`unexpected attribute ${quote(unknown)} of <${name}>`);
    if (name !== "Range" && found.has(name)) refuse(`<${name}> is there twice`);
    attribute = element.attribute === undefined ? undefined : attributes[element.attribute];
    // At once: in other versions the elements have other names.
    if (name === "bmap" && !/^2\.\d{1,6}$/.test(attribute ?? "")) {
      refuse(`is of version ${quote(attribute ?? "")}; this reimage reads version 2.0: make it again`);
    }
    if (name !== "Range") found.set(name, "");
    open.push(name);
  });
  parser.on("closetag", ({ name }) => {
    if (name === "bmap" || name === "BlockMap") refuseStrayText();
    else if (name === "Range") ranges.push({ blocks: takeContent(), checksum: attribute });
    else found.set(name, takeContent());
    open.pop();
  });
  parser.write(text).close();

  const take = (name: string) => found.get(name) ?? refuse(`<${name}> is missing`);
  const fields = Object.fromEntries(fieldNames.map((name) => [name, take(name)])) as Record<BlockMapField, string>;
  take("BlockMap");
  return { fields, ranges };
}
