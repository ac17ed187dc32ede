import { describe, expect, test } from "bun:test";
import { inspect } from "node:util";
import { parsePublicKey, verifyMinisign } from "../../../src/image/signing/minisign.ts";
import { minisignLimits, pickParameters } from "../../../src/image/signing/minisign-password.ts";
import { generateKeyPair, isEncrypted, parseSecretKey } from "../../../src/image/signing/minisign-secret-key.ts";
import { signMinisign } from "../../../src/image/signing/minisign-sign.ts";
import { createRandom, mutate } from "./random.ts";

/** The least that scrypt does: a millisecond. */
const quick = { operations: 32768, memoryBytes: 2 ** 20 };
const password = "Schlüssel zum Kiosk";
const data = Buffer.from('{"schemaVersion":1}\n');
/** Made by minisign 0.11 without a password for this test only; it protects nothing. */
const foreign = {
  secretKey: `untrusted comment: minisign encrypted secret key
RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAjj5cHdKaHI+7a7tU9guPFxpi7/Rb51TaBo4ljqN7aPzWHeBax3GBsBB1Q8XuPQR0eGQmIZb8P0iE269aqhCxSxuE15fGAXYcAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
`,
  publicKey: "RWSOPlwd0pocjxB1Q8XuPQR0eGQmIZb8P0iE269aqhCxSxuE15fGAXYc",
};
const plain = generateKeyPair(null);
const encrypted = generateKeyPair(password, quick);

/** A key file whose bytes are changed. */
function withBytes(text: string, change: (bytes: Buffer) => void): string {
  const [comment = "", encoded = ""] = text.split("\n");
  const bytes = Buffer.from(encoded, "base64");
  change(bytes);
  return `${comment}\n${bytes.toString("base64")}\n`;
}

/** What the error says when a secret key is refused: message, hint, causes and all. */
function refused(text: string, given: string | null): string {
  try {
    parseSecretKey(text, given);
  } catch (error) {
    expect(error).toMatchObject({ name: "ReimageError", code: "signature", hint: expect.any(String) });
    return inspect(error, { depth: 9 });
  }
  throw new Error("it was accepted");
}

describe("a pair of keys", () => {
  test.each([
    ["without a password", plain, null],
    ["with one", encrypted, password],
    ["of minisign", foreign, null],
  ])("%s: what the secret key signs, the public key verifies, and no other", (_what, pair, given) => {
    const secret = parseSecretKey(pair.secretKey, given);
    const signature = signMinisign(secret, data, "kiosk image 7 ü");
    const key = parsePublicKey(pair.publicKey);
    expect(verifyMinisign(key, signature, data)).toEqual({ trustedComment: "kiosk image 7 ü", keyId: secret.keyId });
    expect(() => verifyMinisign(key, signature, Buffer.from("other"))).toThrow("does not fit");
    const other = { ...parsePublicKey(generateKeyPair(null).publicKey), keyId: secret.keyId };
    expect(() => verifyMinisign(other, signature, data)).toThrow("does not fit");
  });

  test("names itself, and says whether it needs a password", () => {
    expect(plain.publicKey).toStartWith(`untrusted comment: minisign public key ${plain.keyId}\n`);
    expect(parsePublicKey(plain.publicKey).keyId).toBe(plain.keyId);
    expect([plain, encrypted, foreign].map((pair) => isEncrypted(pair.secretKey))).toEqual([false, true, false]);
  });

  test("is new every time, in id, key and salt", () => {
    const again = generateKeyPair(password, quick);
    expect(again.keyId).not.toBe(encrypted.keyId);
    const salt = (text: string) => Buffer.from(text.split("\n")[1] ?? "", "base64").toString("hex", 6, 38);
    expect(salt(again.secretKey)).not.toBe(salt(encrypted.secretKey));
  });

  test("without a password, a password that is given does not matter", () => {
    expect(parseSecretKey(plain.secretKey, "any").keyId).toBe(plain.keyId);
  });

  test("a key id with leading zeros survives", () => {
    const secret = parseSecretKey(
      withBytes(foreign.secretKey, (bytes) => bytes.fill(0, 60, 62)),
      null,
    );
    expect(secret.keyId).toBe("00009AD21D5C3E8E");
    const key = { ...parsePublicKey(foreign.publicKey), keyId: secret.keyId };
    expect(verifyMinisign(key, signMinisign(secret, data, ""), data)).toEqual({ trustedComment: "", keyId: key.keyId });
  });
});

describe("what is refused", () => {
  test("a wrong password, and a missing one", () => {
    expect(refused(encrypted.secretKey, `${password}.`)).toContain("password of the secret key is wrong");
    expect(refused(encrypted.secretKey, null)).toContain("no password is given");
  });

  test.each(["", "a\nb", "a\0", "x".repeat(1024)])("a password that minisign could not be given (%#)", (given) => {
    expect(() => generateKeyPair(given, quick)).toThrow(expect.objectContaining({ code: "signature" }));
    expect(refused(encrypted.secretKey, given)).toContain("password");
  });

  test.each([
    ["nothing", ""],
    ["a public key", plain.publicKey],
    ["a line too many", `${plain.secretKey}x\n`],
    ["no comment", plain.secretKey.replace("untrusted ", "")],
    ["the base64 line alone", plain.secretKey.split("\n")[1] ?? ""],
    ["another algorithm", withBytes(plain.secretKey, (bytes) => bytes.write("ED", 0))],
    ["another password function", withBytes(plain.secretKey, (bytes) => bytes.write("Ar", 2))],
    ["another checksum", withBytes(plain.secretKey, (bytes) => bytes.write("B3", 4))],
  ])("%s", (_what, text) => {
    expect(refused(text, null)).toContain("no minisign secret key");
  });

  test("every changed byte of the secret part", () => {
    for (const [text, given] of [
      [plain.secretKey, null],
      [foreign.secretKey, null],
      [encrypted.secretKey, password],
    ] as const) {
      for (let at = 54; at < 158; at += given === null ? 1 : 9) {
        // A key without a checksum does not notice another id: it is a name only.
        if (text === foreign.secretKey && at < 62) continue;
        const changed = withBytes(text, (bytes) => bytes.writeUInt8((bytes[at] ?? 0) ^ 1, at));
        expect(refused(changed, given)).toMatch(/damaged|password/);
      }
    }
  });

  test("a file that asks for years of work is refused at once", () => {
    for (const at of [38, 46]) {
      const greedy = withBytes(encrypted.secretKey, (bytes) => bytes.writeBigUInt64LE(2n ** 40n, at));
      expect(refused(greedy, password)).toContain("more work");
    }
  });

  test.each(["two\nlines", "two\rlines", "\0", "x".repeat(4097)])(
    "a trusted comment that is no short line (%#)",
    (comment) => {
      const secret = parseSecretKey(plain.secretKey, null);
      expect(() => signMinisign(secret, data, comment)).toThrow(expect.objectContaining({ code: "usage" }));
    },
  );

  test("10,000 mutations: only a ReimageError, or the very key", () => {
    const random = createRandom(20260102);
    for (let i = 0; i < 10_000; i++) {
      const text = mutate(plain.secretKey, random);
      try {
        const secret = parseSecretKey(text, null);
        const key = parsePublicKey(plain.publicKey);
        expect(verifyMinisign(key, signMinisign(secret, data, ""), data).keyId).toBe(plain.keyId);
      } catch (error) {
        expect(error).toMatchObject({ name: "ReimageError", code: "signature" });
      }
    }
  });
});

test("neither an error nor a printed key shows a byte of the secret", () => {
  const bytes = Buffer.from(plain.secretKey.split("\n")[1] ?? "", "base64");
  const seed = bytes.subarray(62, 94);
  const shown = [
    refused(`${plain.secretKey}x`, null),
    refused(
      withBytes(plain.secretKey, (changed) => changed.writeUInt8((changed[130] ?? 0) ^ 1, 130)),
      null,
    ),
    refused(encrypted.secretKey, "wrong secret password"),
    refused(encrypted.secretKey, "wrong secret\0password"),
    inspect(parseSecretKey(plain.secretKey, null), { depth: 9, showHidden: true }),
    JSON.stringify(parseSecretKey(plain.secretKey, null)),
  ].join("\n");
  expect(shown).not.toContain("wrong secret");
  expect(shown).not.toContain(plain.secretKey.split("\n")[1] ?? "");
  for (const encoding of ["hex", "base64", "latin1"] as const) {
    expect(shown.toLowerCase()).not.toContain(seed.subarray(3, 12).toString(encoding).toLowerCase());
  }
});

/** By libsodium's pickparams: N from the weaker limit, then p. */
test.each([
  [minisignLimits, { N: 2 ** 20, r: 8, p: 1 }],
  [
    { operations: 524288, memoryBytes: 2 ** 24 },
    { N: 2 ** 14, r: 8, p: 1 },
  ], // libsodium's INTERACTIVE
  [
    { operations: 0, memoryBytes: 2 ** 20 },
    { N: 1024, r: 8, p: 1 },
  ],
  [
    { operations: 32768, memoryBytes: 2 ** 30 },
    { N: 1024, r: 8, p: 1 },
  ],
  [
    { operations: 1_000_000, memoryBytes: 32_000_005 },
    { N: 16384, r: 8, p: 1 },
  ],
  [
    { operations: 2 ** 25, memoryBytes: 2 ** 24 },
    { N: 2 ** 14, r: 8, p: 64 },
  ],
  [
    { operations: 0, memoryBytes: 0 },
    { N: 2, r: 8, p: 512 },
  ],
])("scrypt's parameters for %o", (limits, parameters) => {
  expect(pickParameters(limits)).toEqual(parameters);
});
