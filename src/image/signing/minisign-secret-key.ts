/**
 * minisign's secret keys, with and without a password. The file: an untrusted comment, and in base64 the algorithms of
 * key, password and checksum, the salt and cost of scrypt, and then the key id, the key and its checksum, XORed with
 * scrypt's output where there is a password (minisign.h, SeckeyStruct).
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { ReimageError } from "../../errors.ts";
import { decodeBase64, ED25519, formatKeyId, KEY_ID_BYTES, splitLines, UNTRUSTED } from "./minisign-format.ts";
import { deriveStream, minisignLimits, type ScryptLimits } from "./minisign-password.ts";

/** A secret key, ready to sign. `key` does not show its bytes when it is printed. */
export interface SecretKey {
  readonly keyId: string;
  readonly key: KeyObject;
}

/** The texts of a new pair of key files. */
export interface KeyPair {
  readonly publicKey: string;
  readonly secretKey: string;
  readonly keyId: string;
}

const SCRYPT = "Sc";
const NO_PASSWORD = "\0\0";
const BLAKE2B = "B2";
const SALT_BYTES = 32;
const HEADER_BYTES = 2 + 2 + 2 + SALT_BYTES + 8 + 8;
const SEED_BYTES = 32;
const PUBLIC_BYTES = 32;
const CHECKSUM_BYTES = 32;
const KEY_BYTES = KEY_ID_BYTES + SEED_BYTES + PUBLIC_BYTES + CHECKSUM_BYTES;
/** What precedes the 32 bytes of an ed25519 seed in PKCS #8 (RFC 8410). */
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");

/**
 * Makes a new key pair, in the formats of `minisign -G`.
 * @param password null for a secret key that its file alone gives away (`minisign -G -W`)
 * @param limits the work of guessing one password; the default takes 1 GiB and some seconds
 * @throws ReimageError code `signature` for a password that minisign could not be given
 */
export function generateKeyPair(password: string | null, limits: ScryptLimits = minisignLimits): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const seed = privateKey.export({ format: "der", type: "pkcs8" }).subarray(-SEED_BYTES);
  const publicBytes = publicBytesOf(publicKey);
  const id = randomBytes(KEY_ID_BYTES);
  const header = Buffer.alloc(HEADER_BYTES);
  const secret = Buffer.concat([id, seed, publicBytes, checksum(id, seed, publicBytes)]);
  header.write(ED25519 + (password === null ? NO_PASSWORD : SCRYPT) + BLAKE2B, "latin1");
  if (password !== null) {
    randomBytes(SALT_BYTES).copy(header, 6);
    header.writeBigUInt64LE(BigInt(limits.operations), 6 + SALT_BYTES);
    header.writeBigUInt64LE(BigInt(limits.memoryBytes), 6 + SALT_BYTES + 8);
    xor(secret, deriveStream(password, saltOf(header), limits, KEY_BYTES));
  }
  const keyId = formatKeyId(id);
  const encodedPublic = Buffer.concat([Buffer.from(ED25519), id, publicBytes]).toString("base64");
  const kind = password === null ? "unencrypted" : "encrypted";
  return {
    keyId,
    publicKey: `${UNTRUSTED}minisign public key ${keyId}\n${encodedPublic}\n`,
    secretKey: `${UNTRUSTED}minisign ${kind} secret key\n${Buffer.concat([header, secret]).toString("base64")}\n`,
  };
}

/**
 * Whether the secret key file needs a password (pure).
 * @throws ReimageError code `signature` for text that is no secret key of minisign
 */
export function isEncrypted(text: string): boolean {
  return decode(text).header.toString("latin1", 2, 4) === SCRYPT;
}

/**
 * Parses a secret key file, of minisign or of `generateKeyPair`. With a password this takes the time that the file says.
 * @param password null where there is none; it does not matter for a key that has none
 * @throws ReimageError code `signature` for text that is no such key, and for a wrong or missing password. Never a byte
 * of the key or of the password is in it.
 */
export function parseSecretKey(text: string, password: string | null): SecretKey {
  const { header, secret } = decode(text);
  const encrypted = isEncrypted(text);
  if (encrypted) {
    if (password === null) {
      throw new ReimageError("signature", "the secret key is encrypted, and no password is given", {
        hint: "give the password that the key was made with (--password-file)",
      });
    }
    const limits = {
      operations: Number(header.readBigUInt64LE(6 + SALT_BYTES)),
      memoryBytes: Number(header.readBigUInt64LE(6 + SALT_BYTES + 8)),
    };
    xor(secret, deriveStream(password, saltOf(header), limits, KEY_BYTES));
  }
  const id = Buffer.from(secret.subarray(0, KEY_ID_BYTES));
  const seed = secret.subarray(KEY_ID_BYTES, KEY_ID_BYTES + SEED_BYTES);
  const publicBytes = secret.subarray(KEY_ID_BYTES + SEED_BYTES, KEY_ID_BYTES + SEED_BYTES + PUBLIC_BYTES);
  const expected = secret.subarray(-CHECKSUM_BYTES);
  // minisign leaves the checksum of a key without a password empty.
  const isChecked = encrypted || expected.some((byte) => byte !== 0);
  if (isChecked && !checksum(id, seed, publicBytes).equals(expected)) {
    throw encrypted
      ? new ReimageError("signature", "the password of the secret key is wrong", {
          hint: "give the password that the key was made with; if it is right, the key file is damaged",
        })
      : damaged();
  }
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: "der", type: "pkcs8" });
  const belongs = publicBytesOf(createPublicKey(key)).equals(publicBytes);
  secret.fill(0);
  if (!belongs) throw damaged();
  return { keyId: formatKeyId(id), key };
}

/** @throws ReimageError for anything but two lines, the second of which is laid out as it must be. */
function decode(text: string): { header: Buffer; secret: Buffer } {
  const [comment, encoded, ...rest] = splitLines(text);
  const bytes = decodeBase64(encoded ?? "", HEADER_BYTES + KEY_BYTES);
  const algorithms = bytes?.toString("latin1", 0, 6);
  if (
    bytes === null ||
    comment?.startsWith(UNTRUSTED) !== true ||
    rest.length > 0 ||
    (algorithms !== ED25519 + SCRYPT + BLAKE2B && algorithms !== ED25519 + NO_PASSWORD + BLAKE2B)
  ) {
    throw new ReimageError("signature", "the secret key is no minisign secret key", {
      hint: "it must be the file that reimage pack --keygen or minisign -G wrote (minisign.key)",
    });
  }
  return { header: bytes.subarray(0, HEADER_BYTES), secret: bytes.subarray(HEADER_BYTES) };
}

function damaged(): ReimageError {
  return new ReimageError("signature", "the secret key is damaged: its parts do not belong together", {
    hint: "take it from a backup",
  });
}

function checksum(id: Buffer, seed: Buffer, publicBytes: Buffer): Buffer {
  const hasher = new Bun.CryptoHasher("blake2b256");
  return hasher.update(ED25519).update(id).update(seed).update(publicBytes).digest();
}

function saltOf(header: Buffer): Buffer {
  return header.subarray(6, 6 + SALT_BYTES);
}

function publicBytesOf(key: KeyObject): Buffer {
  return key.export({ format: "der", type: "spki" }).subarray(-PUBLIC_BYTES);
}

function xor(bytes: Buffer, stream: Buffer): void {
  for (const [at, byte] of stream.entries()) bytes[at] = (bytes[at] ?? 0) ^ byte;
}
