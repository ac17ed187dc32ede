import { expect, setDefaultTimeout, test } from "bun:test";
import { parsePublicKeys, parseSignature, verifyMinisign } from "../../../src/image/signing/minisign.ts";
import { fuzz, parseOrRefuse } from "../../support/fuzz.ts";
import { minisignKey } from "../../support/minisign-text.ts";
import { hostileTokens, mutateText } from "../../support/mutate-text.ts";
import type { Random } from "../../support/random.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const own = minisignKey("own");
const other = minisignKey("other");
const impostor = minisignKey("impostor", "own"); // another key under the same id
const data = Buffer.from('{"schemaVersion":1,"imageId":"kiosk"}\n');
const otherData = Buffer.from('{"schemaVersion":1,"imageId":"other"}\n');
const comment = "kiosk image 7 ü";
const signatures = [own.sign(data, comment), own.sign(data, comment, "Ed")] as const;
/** Signatures that are valid, but not of this key, these data, or this comment. */
const foreign = [
  own.sign(otherData, comment),
  own.sign(otherData, comment, "Ed"),
  own.sign(data, "kiosk image 8"),
  other.sign(data, comment),
  impostor.sign(data, comment),
  impostor.sign(data, comment, "Ed"),
] as const;
const keys = parsePublicKeys(own.publicText);

/** Lines without their ends, and without empty ones at the end. */
function linesOf(text: string): string[] {
  const lines = text.split("\n").map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line));
  while (/^\r*$/.test(lines.at(-1) ?? "x")) lines.pop();
  return lines.with(-1, (lines.at(-1) ?? "").replace(/\r{1,9}$/, ""));
}

/** One of the base64 lines, changed in its bytes or in how they are written. */
function mutateBase64(text: string, random: Random): string {
  const lines = text.split("\n");
  const at = random.pick(lines.length > 3 ? [1, 3] : [lines.length - 2]);
  const line = lines[at] ?? "";
  const bytes = Buffer.from(line, "base64");
  if (bytes.length === 0) return text;
  const place = random.below(bytes.length);
  switch (random.below(6)) {
    case 0:
      return lines.with(at, line.replace(/=+$/, "")).join("\n");
    case 1:
      return lines.with(at, bytes.toString("base64url")).join("\n");
    case 2:
      return lines.with(at, bytes.subarray(0, place).toString("base64")).join("\n");
    case 3:
      return lines.with(at, Buffer.concat([bytes, bytes.subarray(place)]).toString("base64")).join("\n");
    case 4:
      bytes.writeUInt8(random.pick([0, 0x45, 0x44, 0x64, 0xff]), random.pick([0, 1, place]));
      return lines.with(at, bytes.toString("base64")).join("\n");
    default:
      bytes.writeUInt8(bytes.readUInt8(place) ^ (1 << random.below(8)), place);
      return lines.with(at, bytes.toString("base64")).join("\n");
  }
}

/** One of the lines exchanged for that of a signature that is valid elsewhere, or all of them. */
function mutateLines(text: string, random: Random): string {
  const donor = random.pick<string>([...foreign, ...signatures]).split("\n");
  if (random.chance(0.2)) return donor.join("\n");
  const at = random.below(4);
  return text
    .split("\n")
    .with(at, donor[at] ?? "")
    .join("\n");
}

function mutateSignature(text: string, random: Random): string {
  const lines = text.split("\n");
  switch (random.below(5)) {
    case 0:
      return mutateBase64(text, random);
    case 1:
      return mutateLines(text, random);
    case 2:
      return lines.with(0, `untrusted comment: ${random.pick(hostileTokens)}`).join("\n"); // signed by nobody
    case 3:
      return lines.with(2, `trusted comment: ${random.pick(hostileTokens)}`).join("\n");
    default:
      return mutateText(text, random);
  }
}

/** Whether it is accepted; only what is signed may be. */
function isAccepted(signatureText: string, signed: Buffer): boolean {
  parseOrRefuse("signature", () => parseSignature(signatureText));
  const verified = parseOrRefuse("signature", () => verifyMinisign(keys, signatureText, signed));
  if (verified === null) return false;
  // What counts is everything but the untrusted comment and the line ends.
  const countingLines = (text: string) => linesOf(text).slice(1).join("\n");
  const valid = [...signatures.map((text) => [text, data] as const), ...validElsewhere];
  const match = valid.find(([text]) => countingLines(text) === countingLines(signatureText));
  expect(match === undefined ? "forged" : "signed").toBe("signed");
  expect(match?.[1].equals(signed)).toBe(true);
  expect(verified.trustedComment).toBe((linesOf(signatureText)[2] ?? "").slice("trusted comment: ".length));
  return true;
}
const validElsewhere = [
  [foreign[0], otherData],
  [foreign[1], otherData],
  [foreign[2], data],
] as const;

test("what the cases are made from is accepted, and what is foreign is not", () => {
  for (const text of signatures) expect(isAccepted(text, data)).toBe(true);
  for (const [text, signed] of validElsewhere) expect(isAccepted(text, signed)).toBe(true);
  for (const text of [foreign[0], foreign[1], ...foreign.slice(3)]) expect(isAccepted(text, data)).toBe(false);
});

test("10,000 mutations of signature and data: refused, or what counts is unchanged", () => {
  fuzz(2_000_000, (random) => {
    const text = random.pick(signatures);
    const signed = random.chance(0.2) ? Buffer.from(mutateText(data.toString(), random)) : data;
    return isAccepted(random.chance(0.9) ? mutateSignature(text, random) : text, signed);
  });
});

test("10,000 mutations of public keys: refused, or keys of which only the right one verifies", () => {
  const two = `${other.publicText}\n${own.publicText}`;
  const keyLines = [own, other].map(({ publicText }) => publicText.split("\n")[1] ?? "");
  fuzz(3_000_000, (random) => {
    const text = random.pick([own.publicText, two, keyLines[0] ?? ""]);
    const mutated = random.chance(0.3) ? mutateBase64(`${text}\n`, random) : mutateText(text, random);
    const parsed = parseOrRefuse("signature", () => parsePublicKeys(mutated));
    if (parsed === null) return false;
    expect(parsed.length).toBeGreaterThan(0);
    for (const { key, keyId } of parsed) {
      expect([key.type, key.asymmetricKeyType]).toEqual(["public", "ed25519"]);
      expect(keyId).toMatch(/^[0-9A-F]{16}$/);
    }
    const lines = linesOf(mutated);
    const mayVerify = lines.includes(keyLines[0] ?? "");
    const verified = parseOrRefuse("signature", () => verifyMinisign(parsed, signatures[0], data));
    if (verified !== null) expect(mayVerify ? "the right key" : "a forged key").toBe("the right key");
    return true;
  });
});

test.each(signatures)("cut anywhere, it is refused (%#)", (text) => {
  const end = text.trimEnd().length;
  for (let length = 0; length < end; length += 1) expect(isAccepted(text.slice(0, length), data)).toBe(false);
});

const much = 1 << 20;
test.each<[string, string]>([
  ["line ends that are not at the end", `${"\n".repeat(much)}x`],
  ["carriage returns", `untrusted comment: ${"\r".repeat(much)}x`],
  ["a long word", "A".repeat(much)],
  ["long base64", `untrusted comment: \n${"A".repeat(much)}\n`],
  ["a long trusted comment", (signatures[0] ?? "").replace(comment, comment.repeat(much / 16))],
  ["blanks", " ".repeat(much)],
  ["many comments", "untrusted comment: x\n".repeat(much / 16)],
])("a megabyte: %s", (_, text) => {
  expect(isAccepted(text, data)).toBe(false);
  expect(parseOrRefuse("signature", () => parsePublicKeys(text))).toBeNull();
});
