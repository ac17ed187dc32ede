/** The body of a request: read once, with an end, and looked at before anything is made of it. */
import { ReimageError } from "../../../errors.ts";

/** Deeper than anything that is sent; what recurses over a value must not run out of stack. */
const MOST_DEPTH = 64;

/**
 * Reads a body as text of JSON that the database can keep.
 * @param isMachine what a machine says is never refused for a NUL character in it (a line of its kernel's log may hold one):
 * it is replaced. PostgreSQL knows no text with NUL.
 * @throws ReimageError `too-large`; `invalid` for what is not UTF-8, nested too deeply, or holds NUL.
 */
export async function readBody(request: Request, mostBytes: number, isMachine: boolean): Promise<string> {
  const declared = Number(request.headers.get("content-length") ?? "0");
  if (declared > mostBytes) throw tooLarge(mostBytes);
  const text = decode(await readBytes(request, mostBytes));
  if (isNestedDeeper(text, MOST_DEPTH)) {
    throw new ReimageError("invalid", `the body is nested deeper than ${MOST_DEPTH} levels`);
  }
  if (!text.includes("\\u0000")) return text; // JSON has no other way to write it
  const { clean, found } = withoutNul(text);
  if (found && !isMachine) throw new ReimageError("invalid", "the body holds a NUL character");
  return clean;
}

async function readBytes(request: Request, mostBytes: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  try {
    if (request.headers.has("content-length")) return await request.bytes(); // the server sees to its length
    for await (const piece of request.body ?? []) {
      sizeBytes += piece.length;
      if (sizeBytes > mostBytes) throw tooLarge(mostBytes);
      pieces.push(piece);
    }
  } catch (cause) {
    if (cause instanceof ReimageError) throw cause;
    throw new ReimageError("invalid", "the body of the request did not arrive whole", { cause });
  }
  return Buffer.concat(pieces);
}

function tooLarge(mostBytes: number): ReimageError {
  return new ReimageError("too-large", `the body is larger than ${mostBytes} bytes`);
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new ReimageError("invalid", "the body is not UTF-8", { cause });
  }
}

/** Whether brackets outside of strings are open more than `most` deep (pure); says nothing of whether it is JSON. */
export function isNestedDeeper(text: string, most: number): boolean {
  if (text.length <= most) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case 0x22: // "
        for (at += 1; at < text.length && text.charCodeAt(at) !== 0x22; at += 1) {
          if (text.charCodeAt(at) === 0x5c) at += 1; // backslash: whatever is next is not the end
        }
        break;
      case 0x5b: // [
      case 0x7b: // {
        depth += 1;
        if (depth > most) return true;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth -= 1;
        break;
      default:
    }
  }
  return false;
}

/** JSON text with U+FFFD for each NUL in strings and names (pure). What is no JSON stays as it is. */
export function withoutNul(text: string): { readonly clean: string; readonly found: boolean } {
  let found = false;
  // Escapes are taken one by one, so that an escaped backslash before `u0000` is not taken for one.
  const clean = text.replace(/\\(?:u[0-9a-fA-F]{4}|.)/g, (escaped) => {
    if (escaped !== "\\u0000") return escaped;
    found = true;
    return "\\ufffd";
  });
  return { clean, found };
}
