/** Keys and signatures, both ways with the real `minisign`. Its passwords take a second and 1 GiB each. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parsePublicKey, parsePublicKeys, verifyMinisign } from "../../src/image/signing/minisign.ts";
import { generateKeyPair, isEncrypted, parseSecretKey } from "../../src/image/signing/minisign-secret-key.ts";
import { signMinisign } from "../../src/image/signing/minisign-sign.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const password = "Schlüssel zum Kiosk";
/** What passes one block of the digest, and what does not. */
const contents = [Buffer.alloc(0), Buffer.from("k"), Buffer.alloc(100_000, "kiosk")];
let base: TemporaryDirectory;

beforeAll(async () => {
  base = await temporaryDirectory();
});
afterAll(() => base[Symbol.asyncDispose]());

const at = (name: string) => join(base.dir, name);
const read = (name: string) => readFileSync(at(name), "utf8");
const put = (name: string, data: string | Buffer) => writeFileSync(at(name), data);

/** Runs minisign in the directory; it reads passwords from `input`. Returns its exit status. */
function minisign(args: readonly string[], input = ""): number | null {
  const result = Bun.spawnSync(["minisign", ...args], {
    cwd: base.dir,
    stdin: Buffer.from(input),
    stdout: "ignore",
    stderr: "ignore",
  });
  return result.exitCode;
}

const accepts = (publicKey: string) => minisign(["-V", "-q", "-p", publicKey, "-m", "data"]) === 0;

/** That minisign takes what `secretKey` signs for the key in the file `publicKey`, and nothing that was changed. */
function expectMinisignAccepts(publicKey: string, secretKeyText: string, given: string | null): void {
  const secretKey = parseSecretKey(secretKeyText, given);
  for (const content of contents) {
    put("data", content);
    const signature = signMinisign(secretKey, content, "kiosk image 7 ü");
    put("data.minisig", signature);
    expect(accepts(publicKey)).toBe(true);
    const shown = Bun.spawnSync(["minisign", "-V", "-Q", "-p", publicKey, "-m", "data"], { cwd: base.dir });
    expect(shown.stdout.toString()).toBe("kiosk image 7 ü\n");
    put("data.minisig", signature.replace("image 7", "image 8"));
    expect(accepts(publicKey)).toBe(false);
    put("data.minisig", signature);
    put("data", Buffer.concat([content, Buffer.of(0)]));
    expect(accepts(publicKey)).toBe(false);
  }
}

/** That we take what minisign signs with the key in the file `secretKey`, and nothing that was changed. */
function expectWeAccept(secretKey: string, publicKeyText: string, input = ""): void {
  const key = parsePublicKey(publicKeyText);
  // With a password, every signature takes its time.
  for (const [n, content] of (input === "" ? contents : contents.slice(-1)).entries()) {
    for (const kind of [["-l"], ["-H"]]) {
      put("data", content);
      expect(minisign(["-S", ...kind, "-s", secretKey, "-m", "data", "-t", `number ${n}`], input)).toBe(0);
      expect(verifyMinisign(key, read("data.minisig"), content)).toEqual({
        trustedComment: `number ${n}`,
        keyId: key.keyId,
      });
      const changed = Buffer.concat([content, Buffer.of(0)]);
      expect(() => verifyMinisign(key, read("data.minisig"), changed)).toThrow("does not fit");
    }
  }
}

describe("keys of minisign", () => {
  test("without a password: each takes the other's signatures", () => {
    expect(minisign(["-G", "-W", "-p", "a.pub", "-s", "a.key"])).toBe(0);
    expect(isEncrypted(read("a.key"))).toBe(false);
    expectMinisignAccepts("a.pub", read("a.key"), null);
    expectWeAccept("a.key", read("a.pub"));
  });

  test("with a password: we sign, and notice a wrong one", () => {
    expect(minisign(["-G", "-p", "b.pub", "-s", "b.key"], `${password}\n${password}\n`)).toBe(0);
    expect(isEncrypted(read("b.key"))).toBe(true);
    expectMinisignAccepts("b.pub", read("b.key"), password);
    expect(() => parseSecretKey(read("b.key"), `${password} `)).toThrow("password of the secret key is wrong");
  });
});

describe("keys of ours", () => {
  test("without a password: each takes the other's signatures", () => {
    const pair = generateKeyPair(null);
    put("c.pub", pair.publicKey);
    put("c.key", pair.secretKey);
    expectMinisignAccepts("c.pub", pair.secretKey, null);
    expectWeAccept("c.key", pair.publicKey);
  });

  test("with a password: minisign signs with them, and notices a wrong one", () => {
    const pair = generateKeyPair(password);
    put("d.pub", pair.publicKey);
    put("d.key", pair.secretKey);
    expectWeAccept("d.key", pair.publicKey, `${password}\n`);
    expect(minisign(["-S", "-s", "d.key", "-m", "data"], `${password} \n`)).not.toBe(0);
  });

  test.each([
    { operations: 32768, memoryBytes: 2 ** 20 },
    { operations: 32768, memoryBytes: 2 ** 30 }, // the work is what limits
    { operations: 2 ** 22, memoryBytes: 2 ** 22 }, // the memory is what limits
    { operations: 1_000_001, memoryBytes: 32_000_037 },
  ])("the work on a password is counted as libsodium counts it: %o", (limits) => {
    const pair = generateKeyPair(password, limits);
    put("e.key", pair.secretKey);
    expectWeAccept("e.key", pair.publicKey, `${password}\n`);
  });
});

test("of several public keys in one file, the one that signed vouches", () => {
  for (const name of ["f", "g"]) expect(minisign(["-G", "-W", "-p", `${name}.pub`, "-s", `${name}.key`])).toBe(0);
  const keys = parsePublicKeys(read("f.pub") + read("g.pub"));
  put("data", "manifest");
  for (const name of ["f", "g"]) {
    expect(minisign(["-S", "-s", `${name}.key`, "-m", "data"])).toBe(0);
    const { keyId } = verifyMinisign(keys, read("data.minisig"), Buffer.from("manifest"));
    expect(keyId).toBe(parsePublicKey(read(`${name}.pub`)).keyId);
  }
});
