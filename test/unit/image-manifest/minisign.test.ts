import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { ReimageError } from "../../../src/errors.ts";
import {
  parsePublicKey,
  parsePublicKeys,
  parseSignature,
  verifyMinisign,
} from "../../../src/image/signing/minisign.ts";
import { createRandom, mutate } from "./random.ts";

/** Signed with minisign 0.11 and a key that was thrown away. */
const publicKeyText = `untrusted comment: minisign public key DE1005368D356C02
RWQCbDWNNgUQ3h6sJ5wvJJXPFomYKCXt2ckPmneIkbunDzdTpNTWzoqA
`;
const data = Buffer.from('{"schemaVersion":1}\n');
const prehashed = `untrusted comment: signature of the manifest
RUQCbDWNNgUQ3qrrytMppWDiM+tJE/b4c7QdLzd/6TNZT3c9G4XB42Q7znPEEIo6nYJI9HN7EYorMJp5XJw07GxBygBvYxCwnAo=
trusted comment: kiosk image 7 ü
xLMnGUelLklCRctOPKL9eaqhWDYZ3YGWLzYWGYa+4LEaS/mQYAOJfxzndjVlN2vZTvlrdoD3+D3BYTL8DO2wCg==
`;
const legacy = `untrusted comment: signature of the manifest
RWQCbDWNNgUQ3tHC0KsBDcS4wRfsMAOiQ/FwoFUV7ZJRNm0qwhoLFTK6veaM5pROHhdoIhgzbpo6/PWGqfiTRu9h5OMEbyDkhAs=
trusted comment: kiosk image 7 ü
0yEsOmo+7E5UvNNKskrZOM7lxSuEvHNVi+A3yLZUA6CqmpaNbT4P6xwS6oK9k5snOwyT0LYsQv1GFQA9xxA/DA==
`;
const otherKeyText = "RWST44jtNVL0ADyyx+fEAy4qQ8l6Q6ViwDVIlSpezV+KEqa04zryLo04";

/** The message with which something is refused; it must be a ReimageError of code `signature`. */
function refusal(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof ReimageError && error.code === "signature") return error.message;
    throw error;
  }
  throw new Error("it was accepted");
}

/** A signature file with one of its lines (from 0) replaced. */
function withLine(text: string, line: number, replacement: string): string {
  return text.split("\n").with(line, replacement).join("\n");
}

/** The bytes of a base64 line, changed. */
function withBytes(text: string, line: number, change: (bytes: Buffer) => void): string {
  const bytes = Buffer.from(text.split("\n")[line] ?? "", "base64");
  change(bytes);
  return withLine(text, line, bytes.toString("base64"));
}

const publicKey = parsePublicKey(publicKeyText);

describe("signatures made by minisign", () => {
  test("prehashed and legacy ones are accepted, with their trusted comments", () => {
    const vouched = { trustedComment: "kiosk image 7 ü", keyId: "DE1005368D356C02" };
    expect(verifyMinisign(publicKey, prehashed, data)).toEqual(vouched);
    expect(verifyMinisign(publicKey, legacy, data)).toEqual(vouched);
    expect([parseSignature(prehashed).prehashed, parseSignature(legacy).prehashed]).toEqual([true, false]);
  });

  test("a key is accepted as its file, as its base64 line alone, and with other line ends", () => {
    const line = publicKeyText.split("\n")[1] ?? "";
    for (const text of [line, `${line}\n`, publicKeyText.replaceAll("\n", "\r\n"), publicKeyText.trimEnd()]) {
      expect(parsePublicKey(text).keyId).toBe("DE1005368D356C02");
      expect(verifyMinisign(parsePublicKey(text), prehashed.replaceAll("\n", "\r\n"), data).trustedComment).not.toBe(
        "",
      );
    }
  });
});

describe("what is not signed by the key", () => {
  test.each([prehashed, legacy])("every changed bit and every cut of the data is noticed (%#)", (signature) => {
    for (let bit = 0; bit < data.length * 8; bit++) {
      const changed = Buffer.from(data);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(refusal(() => verifyMinisign(publicKey, signature, changed))).toContain("does not fit");
    }
    for (let length = 0; length < data.length; length++) {
      expect(refusal(() => verifyMinisign(publicKey, signature, data.subarray(0, length)))).toContain("does not fit");
    }
    expect(refusal(() => verifyMinisign(publicKey, signature, Buffer.concat([data, Buffer.of(0)])))).toContain(
      "does not fit",
    );
  });

  test.each([prehashed, legacy])("every changed bit of the signature is noticed (%#)", (signature) => {
    for (const [line, bytes] of [
      [1, 74],
      [3, 64],
    ] as const) {
      for (let bit = 0; bit < bytes * 8; bit++) {
        const forged = withBytes(signature, line, (content) => {
          content[bit >> 3] = (content[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        });
        expect(() => refusal(() => verifyMinisign(publicKey, forged, data))).not.toThrow();
      }
    }
  });

  test("a changed trusted comment is noticed", () => {
    const forged = withLine(prehashed, 2, "trusted comment: kiosk image 8");
    expect(refusal(() => verifyMinisign(publicKey, forged, data))).toContain("trusted comment");
  });

  test("the global signature of another signature of the same key does not vouch for this one", () => {
    const mixed = withLine(prehashed, 3, legacy.split("\n")[3] ?? "");
    expect(refusal(() => verifyMinisign(publicKey, mixed, data))).toContain("trusted comment");
  });

  test("a legacy signature cannot be passed off as a prehashed one, nor the other way round", () => {
    const asPrehashed = withBytes(legacy, 1, (bytes) => bytes.write("ED", 0, "latin1"));
    expect(refusal(() => verifyMinisign(publicKey, asPrehashed, data))).toContain("does not fit");
    const asLegacy = withBytes(prehashed, 1, (bytes) => bytes.write("Ed", 0, "latin1"));
    expect(refusal(() => verifyMinisign(publicKey, asLegacy, data))).toContain("does not fit");
    // The digest of the data, handed in as the data, is what a prehashed signature signs: only the algorithm byte tells.
    const digest = createHash("blake2b512").update(data).digest();
    expect(refusal(() => verifyMinisign(publicKey, prehashed, digest))).toContain("does not fit");
  });

  test("another key is named, with the configured one; another key under the same id does not help", () => {
    const otherKey = parsePublicKey(otherKeyText);
    expect(refusal(() => verifyMinisign(otherKey, prehashed, data))).toBe(
      `the signature was made with key DE1005368D356C02; the configured public key is ${otherKey.keyId}`,
    );
    const impostor = parsePublicKey(
      withBytes(`x\n${otherKeyText}`, 1, (bytes) => {
        Buffer.from(publicKeyText.split("\n")[1] ?? "", "base64").copy(bytes, 2, 2, 10);
      }).slice(2),
    );
    expect(impostor.keyId).toBe(publicKey.keyId);
    expect(refusal(() => verifyMinisign(impostor, prehashed, data))).toContain("does not fit");
  });
});

describe("what is no key and no signature", () => {
  test.each([
    "",
    "\n",
    "untrusted comment: x",
    "untrusted comment: x\n",
    otherKeyText.slice(0, -1),
    `${otherKeyText}A`,
    ` ${otherKeyText}`,
    otherKeyText.replace("RW", "RU"),
    `comment\n${otherKeyText}`,
    `untrusted comment: x\n${otherKeyText}\n${otherKeyText}`,
    prehashed,
  ])("key %p", (text) => {
    expect(refusal(() => parsePublicKey(text))).toContain("no minisign public key");
  });

  test("a signature cut anywhere is refused", () => {
    const whole = prehashed.trimEnd();
    for (let length = 0; length < whole.length; length++) {
      expect(refusal(() => verifyMinisign(publicKey, whole.slice(0, length), data))).not.toBe("");
    }
  });

  test.each([
    ["a line too many", `${prehashed}x\n`],
    ["no comment", prehashed.replace("untrusted comment: ", "comment: ")],
    ["no trusted comment", prehashed.replace("\ntrusted comment: ", "\ncomment: ")],
    ["an unknown algorithm", withBytes(prehashed, 1, (bytes) => bytes.write("EE", 0, "latin1"))],
    ["base64 with a stray character", withLine(prehashed, 1, `${prehashed.split("\n")[1]} `)],
    ["an empty line first", `\n${prehashed}`],
  ])("%s", (_, text) => {
    expect(refusal(() => parseSignature(text))).toContain("no minisign signature");
  });

  test("10,000 mutations each: only a ReimageError, and never a forged signature accepted", () => {
    const random = createRandom(20260101);
    // The untrusted comment and line ends are signed by nobody; everything else must be as it was.
    const essence = (text: string) =>
      text.replaceAll("\r", "").trimEnd().split("\n").slice(1).join("\n") || text.trim();
    for (let i = 0; i < 10_000; i++) {
      const keyText = mutate(publicKeyText, random);
      const signature = i % 2 === 0 ? prehashed : legacy;
      const signatureText = mutate(signature, random);
      try {
        verifyMinisign(parsePublicKeys(keyText), signature, data);
        expect(keyText.split(/\r?\n/)).toContain(essence(publicKeyText));
      } catch (error) {
        expect(error).toBeInstanceOf(ReimageError);
      }
      try {
        verifyMinisign(publicKey, signatureText, data);
        expect(essence(signatureText)).toBe(essence(signature));
      } catch (error) {
        expect(error).toBeInstanceOf(ReimageError);
      }
    }
  });
});
