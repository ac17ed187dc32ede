/** How minisign protects a secret key with a password: XOR with what scrypt makes of the password. */
import { scryptSync } from "node:crypto";
import { ReimageError } from "../../errors.ts";

/** How much work deriving takes, as libsodium counts it and as a secret key file says. */
export interface ScryptLimits {
  /** Salsa20/8 cores. */
  readonly operations: number;
  readonly memoryBytes: number;
}

/** What minisign writes into new keys (crypto_pwhash_scryptsalsa208sha256's SENSITIVE): 1 GiB, some seconds. */
export const minisignLimits: ScryptLimits = { operations: 2 ** 25, memoryBytes: 2 ** 30 };

/** As many bytes as minisign reads of a password, less its end. */
const LONGEST_PASSWORD_BYTES = 1023;

/**
 * scrypt's parameters for these limits, as libsodium's pickparams chooses them: the largest power of two for `N` that
 * keeps both limits, then the largest `p`.
 */
export function pickParameters({ operations, memoryBytes }: ScryptLimits): { N: number; r: number; p: number } {
  const r = 8;
  const atLeast = Math.max(operations, 32768);
  if (atLeast < Math.floor(memoryBytes / 32)) return { N: powerOfTwoUpTo(atLeast / (r * 4)), r, p: 1 };
  const N = powerOfTwoUpTo(memoryBytes / (r * 128));
  return { N, r, p: Math.floor(Math.floor(atLeast / 4 / N) / r) };
}

function powerOfTwoUpTo(limit: number): number {
  let power = 2;
  while (power * 2 <= limit) power *= 2;
  return power;
}

/**
 * The bytes that a secret key is XORed with. Takes the time and the memory that `limits` say.
 * @throws ReimageError code `signature` for a password that minisign could not be given, or limits beyond its own (a
 * file that asks for them is not minisign's, and could keep this machine busy for years); `memory` where it runs out.
 */
export function deriveStream(password: string, salt: Buffer, limits: ScryptLimits, sizeBytes: number): Buffer {
  const bytes = Buffer.from(password);
  if (bytes.length === 0 || bytes.length > LONGEST_PASSWORD_BYTES || /[\0\r\n]/.test(password)) {
    throw new ReimageError(
      "signature",
      "the password of the secret key is empty, longer than 1023 bytes, or not one line",
      {
        hint: "give the password on one line; for a key without a password leave the password out",
      },
    );
  }
  if (limits.operations > minisignLimits.operations || limits.memoryBytes > minisignLimits.memoryBytes) {
    throw new ReimageError("signature", "the secret key asks for more work on its password than minisign ever does", {
      hint: "use a key that minisign -G or reimage pack --keygen made",
    });
  }
  const { N, r, p } = pickParameters(limits);
  try {
    return scryptSync(bytes, salt, sizeBytes, { N, r, p, maxmem: 128 * r * (N + p + 2) + 2 ** 20 });
  } catch (cause) {
    throw new ReimageError("memory", `deriving the key from the password takes ${(128 * r * N) >> 20} MiB of memory`, {
      cause,
      hint: "sign on a machine with more free memory",
    });
  } finally {
    bytes.fill(0);
  }
}
