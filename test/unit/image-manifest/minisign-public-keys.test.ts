/** Several public keys in one file: the time of a key rotation. */
import { describe, expect, test } from "bun:test";
import {
  type PublicKey,
  parsePublicKey,
  parsePublicKeys,
  verifyMinisign,
} from "../../../src/image/signing/minisign.ts";
import { generateKeyPair, parseSecretKey } from "../../../src/image/signing/minisign-secret-key.ts";
import { signMinisign } from "../../../src/image/signing/minisign-sign.ts";

const pairs = [generateKeyPair(null), generateKeyPair(null), generateKeyPair(null)] as const;
const [old, current, stranger] = pairs;
const data = Buffer.from("the manifest");
const [oldSignature, currentSignature, strangersSignature] = pairs.map((pair) =>
  signMinisign(parseSecretKey(pair.secretKey, null), data, `by ${pair.keyId}`),
) as [string, string, string];
const line = (text: string) => text.split("\n")[1] ?? "";
const ids = (keys: readonly PublicKey[]) => keys.map((key) => key.keyId);

test.each([
  ["two files one after another", `${old.publicKey}${current.publicKey}`],
  ["with empty lines before, between and after", `\n${old.publicKey}\n\n${current.publicKey}\n`],
  ["with other line ends", `${old.publicKey}${current.publicKey}`.replaceAll("\n", "\r\n")],
  ["base64 lines alone", `${line(old.publicKey)}\n${line(current.publicKey)}`],
  ["both forms", `${line(old.publicKey)}\n${current.publicKey}`],
])("%s", (_what, text) => {
  expect(ids(parsePublicKeys(text))).toEqual([old.keyId, current.keyId]);
  expect(() => parsePublicKey(text)).toThrow("no minisign public key");
});

test.each([
  ["no key", ""],
  ["empty lines only", "\n\n"],
  ["a comment only", "untrusted comment: minisign public key\n"],
  ["a comment without its key at the end", `${old.publicKey}untrusted comment: x\n`],
  ["two comments", `untrusted comment: x\n${old.publicKey}`],
  ["a comment, and its key after an empty line", `untrusted comment: x\n\n${line(old.publicKey)}`],
  ["something else between", `${old.publicKey}# the new one\n${current.publicKey}`],
  ["two keys on one line: the first file did not end with a line end", old.publicKey.trimEnd() + current.publicKey],
  ["the second one cut", `${old.publicKey}${current.publicKey.slice(0, -4)}`],
  ["a secret key", old.secretKey],
])("refused: %s", (_what, text) => {
  expect(() => parsePublicKeys(text)).toThrow(
    expect.objectContaining({ code: "signature", message: expect.stringContaining("no minisign public key") }),
  );
});

describe("with two keys", () => {
  const keys = parsePublicKeys(old.publicKey + current.publicKey);

  test("either may vouch, and the one that does is named", () => {
    for (const configured of [keys, keys.toReversed()]) {
      expect(verifyMinisign(configured, oldSignature, data).keyId).toBe(old.keyId);
      expect(verifyMinisign(configured, currentSignature, data).keyId).toBe(current.keyId);
    }
  });

  test("a third one may not", () => {
    expect(() => verifyMinisign(keys, strangersSignature, data)).toThrow(
      `the signature was made with key ${stranger.keyId}; the configured public keys are ${old.keyId}, ${current.keyId}`,
    );
    expect(() => verifyMinisign([], strangersSignature, data)).toThrow("the signature was made with key");
  });

  test("when the old one is taken out, it may not either", () => {
    const left = parsePublicKeys(current.publicKey);
    expect(() => verifyMinisign(left, oldSignature, data)).toThrow(`key ${old.keyId}`);
  });

  test("one key's signature does not pass under the id of the other", () => {
    const encoded = Buffer.from(line(strangersSignature), "base64");
    Buffer.from(line(old.publicKey), "base64").copy(encoded, 2, 2, 10);
    const forged = strangersSignature.split("\n").with(1, encoded.toString("base64")).join("\n");
    expect(() => verifyMinisign(keys, forged, data)).toThrow("does not fit");
  });

  test("two keys that share an id may both vouch; the trusted comment must be of the one that signed", () => {
    const [first, second] = [parsePublicKey(stranger.publicKey), parsePublicKey(old.publicKey)];
    const shared = [{ ...first, keyId: old.keyId }, second];
    expect(verifyMinisign(shared, oldSignature, data).trustedComment).toBe(`by ${old.keyId}`);
    const mixed = oldSignature
      .split("\n")
      .with(3, strangersSignature.split("\n")[3] ?? "")
      .join("\n");
    expect(() => verifyMinisign(shared, mixed, data)).toThrow("trusted comment");
  });
});
