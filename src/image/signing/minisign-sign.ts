/** Signing as minisign does (https://jedisct1.github.io/minisign/, "Signature format"), prehashed. */
import { createHash, sign } from "node:crypto";
import { ReimageError } from "../../errors.ts";
import { ED25519_PREHASHED, keyIdBytes, TRUSTED, UNTRUSTED } from "./minisign-format.ts";
import type { SecretKey } from "./minisign-secret-key.ts";

/** minisign reads trusted comments up to 8 KiB; this leaves more than any use needs. */
const LONGEST_COMMENT_BYTES = 4096;

/**
 * Signs `data` and the trusted comment.
 * @returns the text of the `.minisig` file
 * @throws ReimageError code `usage` for a trusted comment that is not one line of text
 */
export function signMinisign(secretKey: SecretKey, data: Buffer, trustedComment: string): string {
  if (/[\0-\x1f\x7f]/.test(trustedComment) || Buffer.byteLength(trustedComment) > LONGEST_COMMENT_BYTES) {
    throw new ReimageError("usage", "the trusted comment of a signature must be one short line of text", {
      hint: `leave out control characters, and keep it under ${LONGEST_COMMENT_BYTES} bytes`,
    });
  }
  const signature = sign(null, createHash("blake2b512").update(data).digest(), secretKey.key);
  const globalSignature = sign(null, Buffer.concat([signature, Buffer.from(trustedComment)]), secretKey.key);
  const encoded = Buffer.concat([Buffer.from(ED25519_PREHASHED), keyIdBytes(secretKey.keyId), signature]);
  return [
    `${UNTRUSTED}signature from reimage, key ${secretKey.keyId}`,
    encoded.toString("base64"),
    `${TRUSTED}${trustedComment}`,
    globalSignature.toString("base64"),
    "",
  ].join("\n");
}
