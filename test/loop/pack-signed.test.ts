/** Keys and signatures of `reimage pack`, and the program minisign. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCli } from "../support/cli.ts";
import { runTestCommand, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { makePackImage } from "../support/pack-image.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const stack = new AsyncDisposableStack();
let base: TemporaryDirectory;
const at = (name: string) => join(base.dir, name);

beforeAll(async () => {
  base = stack.use(await temporaryDirectory());
  await makePackImage(at("os.img"), "mbr");
  await runTestCommand(["minisign", "-G", "-W", "-p", at("theirs.pub"), "-s", at("theirs.key")]);
  writeFileSync(at("password"), "correct horse\nsecond line\n");
});
afterAll(() => stack.disposeAsync());

const keygen = (name: string, ...options: string[]) =>
  runCli(["pack", "--keygen", "--secret-key", at(`${name}.key`), "--public-key", at(`${name}.pub`), ...options]);
const sign = (key: string, output: string, ...options: string[]) =>
  runCli(["pack", at("os.img"), "--output", at(output), "--level", "1", "--secret-key", at(key), ...options]);
const verify = (name: string, packed: string) =>
  runTestCommand(["minisign", "-V", "-p", at(`${name}.pub`), "-m", at(`${packed}.manifest.json`)]);

describe("a signature", () => {
  test("by a key of minisign is verified by minisign, and says id and version", async () => {
    expect(await sign("theirs.key", "a.zst", "--image-version", "12", "--image-id", "kiosk")).toMatchObject({
      exitCode: 0,
      stderr: "",
      stdout: expect.stringMatching(/^Signature {2}.*a\.zst\.manifest\.json\.minisig, key [0-9A-F]{16}$/m),
    });
    expect(await verify("theirs", "a.zst")).toMatch(/Trusted comment: image kiosk version 12/);
  });

  test("by a key of our own with a password, and with a comment of our own", async () => {
    expect(await keygen("own", "--password-file", at("password"))).toMatchObject({ exitCode: 0, stderr: "" });
    const options = ["--password-file", at("password"), "--image-version", "1", "--trusted-comment", "release ä"];
    expect(await sign("own.key", "b.zst", ...options)).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await verify("own", "b.zst")).toMatch(/Trusted comment: release ä/);
  });

  test("is not made with a wrong password, without one, or with what is no key; and then nothing is packed", async () => {
    await keygen("locked", "--password-file", at("password"));
    writeFileSync(at("wrong"), "wrong\n");
    writeFileSync(at("empty"), "\n");
    const version = ["--image-version", "1"];
    const refused: [string, string[], number, RegExp][] = [
      ["locked.key", ["--password-file", at("wrong")], 3, /password of the secret key is wrong/],
      ["locked.key", [], 3, /no password is given/],
      ["locked.pub", [], 3, /no minisign secret key/],
      ["missing.key", [], 2, /missing\.key cannot be read/],
      ["locked.key", ["--password-file", at("missing")], 2, /missing cannot be read/],
      ["locked.key", ["--password-file", at("empty")], 2, /password in .* is empty/],
    ];
    for (const [key, options, exitCode, says] of refused) {
      const result = await sign(key, "c.zst", ...version, ...options);
      expect(result).toMatchObject({ exitCode, stderr: expect.stringMatching(says) });
    }
    expect(readdirSync(base.dir).filter((name) => name.startsWith("c.zst"))).toEqual([]);
  });

  test("of an earlier pack does not outlive the manifest that it signs", async () => {
    await sign("theirs.key", "d.zst", "--image-version", "1");
    expect(existsSync(at("d.zst.manifest.json.minisig"))).toBe(true);
    const again = ["pack", at("os.img"), "--output", at("d.zst"), "--level", "1", "--force"];
    const result = await runCli(again);
    expect(result).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^Signature {2}none/m) });
    expect(existsSync(at("d.zst.manifest.json.minisig"))).toBe(false);
  });
});

describe("--keygen", () => {
  test("makes a secret key for its owner alone, and does not replace one", async () => {
    const made = await keygen("new");
    expect(made).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^Key [0-9A-F]{16}$/m) });
    expect([statSync(at("new.key")).mode & 0o777, statSync(at("new.pub")).mode & 0o777]).toEqual([0o600, 0o644]);
    const before = readFileSync(at("new.key"), "utf8");
    expect(await keygen("new")).toMatchObject({ exitCode: 3, stderr: expect.stringMatching(/is there already/) });
    expect(readFileSync(at("new.key"), "utf8")).toBe(before);
    expect(await keygen("new", "--force")).toMatchObject({ exitCode: 0 });
    expect(readFileSync(at("new.key"), "utf8")).not.toBe(before);
    expect(await sign("new.key", "e.zst", "--image-version", "0")).toMatchObject({ exitCode: 0, stderr: "" });
    await verify("new", "e.zst");
  });

  test("does not write both keys into one file", async () => {
    const result = await runCli(["pack", "--keygen", "--secret-key", at("one"), "--public-key", `${base.dir}/./one`]);
    expect(result).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/both name/) });
    expect(existsSync(at("one"))).toBe(false);
  });
});
