/**
 * Verifying minisign signatures (https://jedisct1.github.io/minisign/, "Signature format"): ed25519 over the data, or
 * over its BLAKE2b-512 digest, and once more over the signature and its trusted comment.
 */
import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import { ReimageError } from "../../errors.ts";
import {
  decodeBase64,
  ED25519,
  ED25519_PREHASHED,
  formatKeyId,
  splitLines,
  TRUSTED,
  UNTRUSTED,
} from "./minisign-format.ts";

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

/** What precedes the 32 bytes of an ed25519 key in a SubjectPublicKeyInfo (RFC 8410). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");
const PUBLIC_KEY_BYTES = 2 + 8 + 32;
const SIGNATURE_BYTES = 2 + 8 + 64;

/**
 * Parses a file of one or more public keys (pure): each the two lines of a public key file of minisign, or its base64
 * line alone; empty lines between them do not count.
 * @throws ReimageError code `signature` for a file without a key, and for anything else in it
 */
export function parsePublicKeys(text: string): PublicKey[] {
  const keys: PublicKey[] = [];
  let afterComment = false;
  for (const line of splitLines(text)) {
    if (!afterComment && line.startsWith(UNTRUSTED)) {
      afterComment = true;
    } else if (afterComment || line !== "") {
      keys.push(parseKeyLine(line));
      afterComment = false;
    }
  }
  if (afterComment || keys.length === 0) throw noPublicKey();
  return keys;
}

/**
 * Parses a file of exactly one public key (pure).
 * @throws ReimageError code `signature`
 */
export function parsePublicKey(text: string): PublicKey {
  const [key, ...further] = parsePublicKeys(text);
  if (key === undefined || further.length > 0) throw noPublicKey();
  return key;
}

function parseKeyLine(line: string): PublicKey {
  const bytes = decodeBase64(line, PUBLIC_KEY_BYTES);
  if (bytes === null || bytes.toString("latin1", 0, 2) !== ED25519) throw noPublicKey();
  const key = createPublicKey({
    key: Buffer.concat([SPKI_PREFIX, bytes.subarray(10)]),
    format: "der",
    type: "spki",
  });
  return { keyId: formatKeyId(bytes.subarray(2)), key };
}

function noPublicKey(): ReimageError {
  return new ReimageError("signature", "the public key is no minisign public key", {
    hint: "image.publicKey must hold one or more public key files of minisign (minisign.pub), one after another",
  });
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
    (algorithm !== ED25519 && algorithm !== ED25519_PREHASHED) ||
    rest.length > 0
  ) {
    throw new ReimageError("signature", "the signature is no minisign signature, or only a part of one", {
      hint: "copy the .minisig file again, or sign the manifest again",
    });
  }
  return {
    keyId: formatKeyId(bytes.subarray(2)),
    prehashed: algorithm === ED25519_PREHASHED,
    signature: bytes.subarray(10),
    trustedComment: trusted.slice(TRUSTED.length),
    globalSignature,
  };
}

/**
 * Verifies that the owner of one of `publicKeys` signed `data` and the trusted comment. The key id in the signature says
 * which one; it is a name only, and proves nothing.
 * @returns the trusted comment, and the key that vouches
 * @throws ReimageError code `signature` in every other case
 */
export function verifyMinisign(
  publicKeys: PublicKey | readonly PublicKey[],
  signatureText: string,
  data: Buffer,
): { trustedComment: string; keyId: string } {
  const signature = parseSignature(signatureText);
  const configured = "keyId" in publicKeys ? [publicKeys] : publicKeys;
  const named = configured.filter((each) => each.keyId === signature.keyId);
  if (named.length === 0) {
    const ids = configured.map((each) => each.keyId).join(", ");
    const what =
      configured.length === 1 ? `the configured public key is ${ids}` : `the configured public keys are ${ids}`;
    throw new ReimageError("signature", `the signature was made with key ${signature.keyId}; ${what}`, {
      hint: "use an image signed with a key that belongs to image.publicKey, or add the new public key to that file",
    });
  }
  const signed = signature.prehashed ? createHash("blake2b512").update(data).digest() : data;
  const signer = named.find((each) => verify(null, signed, each.key, signature.signature));
  if (signer === undefined) {
    throw new ReimageError("signature", "the signature does not fit: what it signs is not what is here", {
      hint: "do not use this image unless you know why: it was changed after it was signed, or is damaged",
    });
  }
  const comment = Buffer.concat([signature.signature, Buffer.from(signature.trustedComment)]);
  if (!verify(null, comment, signer.key, signature.globalSignature)) {
    throw new ReimageError("signature", "the trusted comment of the signature was changed after it was signed", {
      hint: "do not use this image unless you know why",
    });
  }
  return { trustedComment: signature.trustedComment, keyId: signer.keyId };
}
