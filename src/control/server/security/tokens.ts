/** Tokens: random text of 256 bits. Only its SHA-256 is kept, and a token is found by that. */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

/** A new token. The prefix tells a person, and a scanner of logs, what it is. */
export function makeToken(kind: "admin" | "session" | "code"): { readonly token: string; readonly sha256: string } {
  const token = `reimage-${kind}-${randomBytes(32).toString("base64url")}`;
  return { token, sha256: sha256Of(token) };
}

/** SHA-256 in hex. Random text of 256 bits needs no slow hash. */
export function sha256Of(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** Compares two SHA-256 in hex; takes as long wherever they differ (pure). */
export function isSameSha256(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a, "hex"), Buffer.from(b, "hex")];
  return left.length === 32 && right.length === 32 && timingSafeEqual(left, right);
}
