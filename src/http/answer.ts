/** What an answer to a Range request says of the file and of the bytes that follow (pure; RFC 9110, sections 14 and 15). */
import { statusTrouble, Trouble } from "./trouble.ts";

/** By what one version of a file is known. */
export interface Identity {
  readonly sizeBytes: number;
  readonly etag: string | null;
  readonly lastModified: string | null;
}

/** `sizeBytes`: null where the answer does not say how large the file is. The body goes from one byte to before another. */
export interface Interpretation {
  readonly identity: Omit<Identity, "sizeBytes"> & { readonly sizeBytes: number | null };
  readonly startBytes: number;
  readonly endBytes: number | null;
}

/** What was asked for: the bytes from `startBytes` to before `endBytes`. */
export interface AskedRange {
  readonly startBytes: number;
  readonly endBytes: number;
}

/**
 * @throws Trouble where the answer is not the file, or not the bytes that were asked for. A server may send the whole file
 * instead (status 200): then the body begins at byte 0.
 */
export function interpretAnswer(status: number, headers: Headers, asked: AskedRange): Interpretation {
  const tags = { etag: headers.get("etag"), lastModified: headers.get("last-modified") };
  if (status === 416) {
    const total = /^bytes \*\/([0-9]+)$/i.exec(headers.get("content-range") ?? "")?.[1];
    if (total === undefined) throw statusTrouble(status, headers);
    return { identity: { ...tags, sizeBytes: toBytes(total) }, startBytes: 0, endBytes: 0 };
  }
  if (status !== 200 && status !== 206) throw statusTrouble(status, headers);
  refuseEncoding(headers);
  const contentLength = parseContentLength(headers);
  if (status === 200) {
    return { identity: { ...tags, sizeBytes: contentLength }, startBytes: 0, endBytes: contentLength };
  }
  const contentRange = headers.get("content-range") ?? "none";
  const [, first, last, total] = /^bytes ([0-9]+)-([0-9]+)\/([0-9]+)$/i.exec(contentRange) ?? [];
  const { startBytes, endBytes } = asked;
  const isRight = first === String(startBytes) && last === String(endBytes - 1) && total !== undefined;
  if (!isRight || (contentLength !== null && contentLength !== endBytes - startBytes)) {
    const got = isRight ? `${contentLength} bytes` : `the range ${JSON.stringify(contentRange.slice(0, 60))}`;
    throw new Trouble("lasting", `was asked for bytes ${startBytes}-${endBytes - 1} and announced ${got}`);
  }
  return { identity: { ...tags, sizeBytes: toBytes(total) }, startBytes, endBytes };
}

/** @throws Trouble where the bytes on the wire are not those of the file. */
export function refuseEncoding(headers: Headers): void {
  const encoding = headers.get("content-encoding");
  if (encoding === null || /^\s*(identity)?\s*$/i.test(encoding)) return;
  throw new Trouble("lasting", `sends the file in another encoding (${JSON.stringify(encoding.slice(0, 60))})`);
}

/** @returns null where there is none */
export function parseContentLength(headers: Headers): number | null {
  const text = headers.get("content-length");
  if (text === null || headers.has("transfer-encoding")) return null;
  return toBytes(text);
}

function toBytes(text: string): number {
  const bytes = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new Trouble("lasting", `announced an impossible size (${JSON.stringify(text.slice(0, 60))})`);
}

/**
 * What is different between the file as it was and as it is now; null where nothing is. A Last-Modified that is missing
 * beside an equal ETag is no difference.
 */
export function findChange(was: Identity, now: Interpretation["identity"]): string | null {
  if (now.sizeBytes !== null && now.sizeBytes !== was.sizeBytes) {
    return `it had ${was.sizeBytes} bytes and now has ${now.sizeBytes}`;
  }
  if (was.etag !== now.etag) return `its ETag was ${was.etag ?? "not there"} and now is ${now.etag ?? "not there"}`;
  if (was.lastModified === now.lastModified) return null;
  if (now.etag !== null && (was.lastModified === null || now.lastModified === null)) return null;
  return `it was modified ${was.lastModified ?? "at an unknown time"}, and now ${now.lastModified ?? "at an unknown time"}`;
}
