/**
 * Verifying minisign signatures (https://jedisct1.github.io/minisign/, "Signature format"): ed25519 over the data, or
 * over its BLAKE2b-512 digest, and once more over the signature and its trusted comment.
 */
import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import { ReimageError } from "../errors.ts";

/** A minisign public key. `keyId` is what `minisign` prints: 16 hexadecimal digits. */
export interface PublicKey {
  readonly keyId: string;
  readonly key: KeyObject;
}

/** A minisign signature, taken apart but not verified. */
export interface Signature {
  readonly keyId: string;
  /** Whether the BLAKE2b-512 digest is signed (`ED`) instead of the data itself (legacy `Ed`). */
  readonly prehashed: boolean;
  readonly signature: Buffer;
  readonly trustedComment: string;
  /** Over `signature` and `trustedComment`. */
  readonly globalSignature: Buffer;
}

const UNTRUSTED = "untrusted comment: ";
const TRUSTED = "trusted comment: ";
/** What precedes the 32 bytes of an ed25519 key in a SubjectPublicKeyInfo (RFC 8410). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");
const PUBLIC_KEY_BYTES = 2 + 8 + 32;
const SIGNATURE_BYTES = 2 + 8 + 64;

/**
 * Parses a public key file of minisign, or its base64 line alone (pure).
 * @throws ReimageError code `signature`
 */
export function parsePublicKey(text: string): PublicKey {
  const lines = splitLines(text);
  const encoded = lines.length === 1 ? lines[0] : lines[0]?.startsWith(UNTRUSTED) && lines.length === 2 ? lines[1] : "";
  const bytes = decodeBase64(encoded ?? "", PUBLIC_KEY_BYTES);
  if (bytes === null || bytes.toString("latin1", 0, 2) !== "Ed") {
    throw new ReimageError("signature", "the public key is no minisign public key", {
      hint: "image.publicKey must be the file that minisign -G wrote beside the secret key (minisign.pub)",
    });
  }
  const key = createPublicKey({
    key: Buffer.concat([SPKI_PREFIX, bytes.subarray(10)]),
    format: "der",
    type: "spki",
  });
  return { keyId: formatKeyId(bytes), key };
}

/**
 * Parses the four lines of a signature file (pure). Nothing in it is trustworthy yet.
 * @throws ReimageError code `signature`
 */
export function parseSignature(text: string): Signature {
  const [untrusted, encoded, trusted, encodedGlobal, ...rest] = splitLines(text);
  const bytes = decodeBase64(encoded ?? "", SIGNATURE_BYTES);
  const globalSignature = decodeBase64(encodedGlobal ?? "", 64);
  const algorithm = bytes?.toString("latin1", 0, 2);
  if (
    untrusted?.startsWith(UNTRUSTED) !== true ||
    trusted?.startsWith(TRUSTED) !== true ||
    bytes === null ||
    globalSignature === null ||
    (algorithm !== "Ed" && algorithm !== "ED") ||
    rest.length > 0
  ) {
    throw new ReimageError("signature", "the signature is no minisign signature, or only a part of one", {
      hint: "copy the .minisig file again, or sign the manifest again",
    });
  }
  return {
    keyId: formatKeyId(bytes),
    prehashed: algorithm === "ED",
    signature: bytes.subarray(10),
    trustedComment: trusted.slice(TRUSTED.length),
    globalSignature,
  };
}

/**
 * Verifies that the owner of `publicKey` signed `data` and the trusted comment.
 * @returns the trusted comment
 * @throws ReimageError code `signature` in every other case
 */
export function verifyMinisign(publicKey: PublicKey, signatureText: string, data: Buffer): { trustedComment: string } {
  const signature = parseSignature(signatureText);
  if (signature.keyId !== publicKey.keyId) {
    throw new ReimageError(
      "signature",
      `the signature was made with key ${signature.keyId}; the configured public key is ${publicKey.keyId}`,
      { hint: "use an image signed with the key that belongs to image.publicKey" },
    );
  }
  const signed = signature.prehashed ? createHash("blake2b512").update(data).digest() : data;
  if (!verify(null, signed, publicKey.key, signature.signature)) {
    throw new ReimageError("signature", "the signature does not fit: what it signs is not what is here", {
      hint: "do not use this image unless you know why: it was changed after it was signed, or is damaged",
    });
  }
  const comment = Buffer.concat([signature.signature, Buffer.from(signature.trustedComment)]);
  if (!verify(null, comment, publicKey.key, signature.globalSignature)) {
    throw new ReimageError("signature", "the trusted comment of the signature was changed after it was signed", {
      hint: "do not use this image unless you know why",
    });
  }
  return { trustedComment: signature.trustedComment };
}

/** Lines without their ends; empty ones at the end do not count. */
function splitLines(text: string): string[] {
  return text.replace(/[\r\n]+$/, "").split(/\r?\n/);
}

/** Bytes of canonical base64 of exactly that many bytes, or null. Buffer.from alone skips what it does not know. */
function decodeBase64(encoded: string, sizeBytes: number): Buffer | null {
  const bytes = Buffer.from(encoded, "base64");
  return bytes.length === sizeBytes && bytes.toString("base64") === encoded ? bytes : null;
}

/** Bytes 2 to 10 as the little-endian number that minisign prints. */
function formatKeyId(bytes: Buffer): string {
  return bytes.readBigUInt64LE(2).toString(16).toUpperCase().padStart(16, "0");
}
