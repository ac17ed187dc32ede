/**
 * Paths of retained files: buffers, because the kernel allows any byte but `/` and NUL in a name. Where text is needed
 * (matching, keys, messages), bytes that are not UTF-8 become lone surrogates U+DC80–U+DCFF, which loses nothing.
 */
import { isUtf8 } from "node:buffer";

const SLASH = 0x2f;
const ESCAPED_BYTE = 0xdc00;

/** The text of a name or path; bytes that are not UTF-8 become lone surrogates, so that `encodePath` gives them back. */
export function decodePath(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString("utf8");
  let text = "";
  for (let i = 0; i < bytes.length; ) {
    const lengthBytes = utf8SequenceLength(bytes, i);
    if (lengthBytes === 0) {
      text += String.fromCharCode(ESCAPED_BYTE + (bytes[i] ?? 0));
      i += 1;
    } else {
      text += bytes.toString("utf8", i, i + lengthBytes);
      i += lengthBytes;
    }
  }
  return text;
}

/** The bytes of a text made by `decodePath`, or of any ordinary text. */
export function encodePath(text: string): Buffer {
  const parts: Buffer[] = [];
  for (const part of text.split(/([\udc80-\udcff])/u)) {
    const isEscapedByte = part.length === 1 && part >= "\udc80" && part <= "\udcff";
    parts.push(isEscapedByte ? Buffer.of(part.charCodeAt(0) - ESCAPED_BYTE) : Buffer.from(part, "utf8"));
  }
  return Buffer.concat(parts);
}

function utf8SequenceLength(bytes: Buffer, start: number): number {
  for (let lengthBytes = 1; lengthBytes <= 4 && start + lengthBytes <= bytes.length; lengthBytes++) {
    if (isUtf8(bytes.subarray(start, start + lengthBytes))) return lengthBytes;
  }
  return 0;
}

/** A path on one line of a terminal or log: control characters, backslashes and non-UTF-8 bytes as `\ooo`, like GNU ls. */
export function displayPath(path: Buffer | string): string {
  const text = typeof path === "string" ? path : decodePath(path);
  return text.replace(/[\x00-\x1f\x7f\\]|[\udc80-\udcff]/gu, (character) => {
    if (character === "\\") return "\\\\";
    const byte = character.charCodeAt(0) & 0xff;
    return `\\${byte.toString(8).padStart(3, "0")}`;
  });
}

/** `directory` + `/` + `name`; the root directory is the empty buffer or `/`. */
export function joinPath(directory: Buffer, name: Buffer | string): Buffer {
  const base = directory.length === 1 && directory[0] === SLASH ? Buffer.alloc(0) : directory;
  return Buffer.concat([base, Buffer.of(SLASH), typeof name === "string" ? Buffer.from(name) : name]);
}

/** The names between the slashes; repeated slashes and `.` are dropped. */
export function splitPath(path: Buffer): Buffer[] {
  const names: Buffer[] = [];
  for (let start = 0; start < path.length; ) {
    const slash = path.indexOf(SLASH, start);
    const end = slash < 0 ? path.length : slash;
    const name = path.subarray(start, end);
    if (name.length > 0 && !(name.length === 1 && name[0] === 0x2e)) names.push(name);
    start = end + 1;
  }
  return names;
}

/** Whether `path` is `directory` or lies below it. */
export function isAtOrBelow(path: Buffer, directory: Buffer): boolean {
  if (!path.subarray(0, directory.length).equals(directory)) return false;
  return path.length === directory.length || path[directory.length] === SLASH;
}
