/** The token of this machine: made by itself, kept in a file, never shown. */
import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { ReimageError } from "../../errors.ts";

/** Where the token is kept if the configuration does not say. */
export const defaultTokenFile = "/etc/reimage/control.token";

/** The token in the text of a file (pure). @throws ReimageError `config` for what cannot be one. */
export function parseToken(text: string, path: string): string {
  const token = text.trim();
  if (/^[\x21-\x7e]{1,512}$/.test(token)) return token;
  throw new ReimageError("config", `${path} holds no token: one line without spaces is expected`, {
    hint: "make a new one with reimage enroll",
  });
}

/** The token of a file of the running system; null where it is not there. */
export function readTokenFile(path: string): string | null {
  try {
    return parseToken(readFileSync(path, "utf8"), path);
  } catch (cause) {
    if (cause instanceof ReimageError) throw cause;
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new ReimageError("config", `the token ${path} cannot be read`, { cause, hint: "be root" });
  }
}

/**
 * The token of a file, which is made if there is none: 32 random bytes, in a file that nobody else may read, whole on the
 * disk before this returns. One that is there already is kept, so that asking again asks for the same.
 */
export function makeToken(path: string): string {
  const found = readTokenFile(path);
  if (found !== null) return found;
  const token = randomBytes(32).toString("base64url");
  const directory = dirname(path);
  if (!existsSync(directory)) mkdirSync(directory, { recursive: true, mode: 0o755 });
  const temporary = `${path}.new`;
  writeFileSync(temporary, `${token}\n`, { mode: 0o600, flush: true });
  renameSync(temporary, path);
  const handle = openSync(directory, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  return token;
}

/** What the endpoint is told of a token. */
export function digestOf(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}
