/** Key files of `reimage pack`: making a pair, and reading the secret one. */
import { chmod, open, readFile, rename, rm, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { ReimageError } from "../errors.ts";
import { generateKeyPair, parseSecretKey, type SecretKey } from "../image/signing/minisign-secret-key.ts";

/** Where a new pair goes. */
export interface KeygenRequest {
  readonly secretKeyPath: string;
  readonly publicKeyPath: string;
  /** Null: the secret key gets no password. */
  readonly passwordPath: string | null;
  readonly force: boolean;
}

/**
 * Makes a key pair. The secret key is readable for its owner alone.
 * @returns the id of the key
 * @throws ReimageError `usage` or `output`
 */
export async function makeKeyPair(request: KeygenRequest): Promise<string> {
  const { secretKeyPath, publicKeyPath, force } = request;
  if (resolve(secretKeyPath) === resolve(publicKeyPath)) {
    throw new ReimageError("usage", `--secret-key and --public-key both name ${secretKeyPath}`, {
      hint: "the public key goes to every machine, and the secret one to none: name two files",
    });
  }
  const password = await readPassword(request.passwordPath);
  for (const path of [secretKeyPath, publicKeyPath]) {
    if (!force && (await stat(path).catch(() => null)) !== null) {
      throw new ReimageError("output", `${path} is there already`, {
        hint: "images signed with a key that is lost cannot be replaced by newer ones; use other names, or --force",
      });
    }
  }
  const pair = generateKeyPair(password);
  await writeKey(secretKeyPath, pair.secretKey, 0o600);
  await writeKey(publicKeyPath, pair.publicKey, 0o644);
  return pair.keyId;
}

/** @throws ReimageError `usage` where a file cannot be read, `signature` where it is no key or the password is wrong. */
export async function readSecretKey(path: string, passwordPath: string | null): Promise<SecretKey> {
  return parseSecretKey(await readText(path, "--secret-key"), await readPassword(passwordPath));
}

async function readPassword(path: string | null): Promise<string | null> {
  if (path === null) return null;
  const [password = ""] = (await readText(path, "--password-file")).split(/\r?\n/);
  if (password !== "") return password;
  throw new ReimageError("usage", `the password in ${path} is empty`, { hint: "leave out --password-file for none" });
}

async function readText(path: string, option: string): Promise<string> {
  return await readFile(path, "utf8").catch((cause) => {
    throw new ReimageError("usage", `${path} cannot be read`, { cause, hint: `check ${option}` });
  });
}

/** Whole or not at all, and never readable for others before its mode is set. */
async function writeKey(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.part`;
  try {
    await rm(temporary, { force: true });
    {
      await using file = await open(temporary, "wx", 0o600);
      await file.writeFile(text);
      await file.sync();
    }
    await chmod(temporary, mode);
    await rename(temporary, path);
  } catch (cause) {
    throw new ReimageError("output", `${path} cannot be written`, { cause, hint: "check the directory" });
  }
}
