/** The certificate of `reimage serve`: read, and judged before anybody is shown it. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { ReimageError } from "../errors.ts";

export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  /** What is not wrong, but not well either. */
  readonly warnings: readonly string[];
}

const SOON_DAYS = 21;
const DAY_MS = 86_400_000;

/** @throws ReimageError `config` where no client could accept it. */
export function readTlsFiles(certPath: string, keyPath: string, nowMs: number): TlsFiles {
  const cert = readText(certPath, "--tls-cert");
  const key = readText(keyPath, "--tls-key");
  const certificate = parseCertificate(cert, certPath);
  const privateKey = parseKey(key, keyPath);
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new ReimageError("config", `the key ${keyPath} is not that of the certificate ${certPath}`, {
      hint: "name the key that the certificate was requested with; the server's certificate must be the first in its file",
    });
  }
  const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  const day = (ms: number) => new Date(ms).toISOString().slice(0, 10);
  if (nowMs > to) {
    throw new ReimageError("config", `the certificate ${certPath} has expired on ${day(to)}`, { hint: "renew it" });
  }
  if (nowMs < from) {
    throw new ReimageError("config", `the certificate ${certPath} is valid from ${day(from)} on`, {
      hint: `the clock of this host says ${day(nowMs)}: set it if it is wrong`,
    });
  }
  const warnings = [];
  if (to - nowMs < SOON_DAYS * DAY_MS) warnings.push(`the certificate ${certPath} expires on ${day(to)}: renew it`);
  if ((statSync(keyPath).mode & 0o007) !== 0) {
    warnings.push(`everybody on this host can read the key ${keyPath}: chmod 600 ${keyPath}`);
  }
  return { cert, key, warnings };
}

function readText(path: string, option: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new ReimageError("config", `${path} cannot be read`, { cause, hint: `check ${option}, and who may read it` });
  }
}

function parseCertificate(text: string, path: string): X509Certificate {
  try {
    return new X509Certificate(text);
  } catch {
    throw new ReimageError("config", `${path} holds no certificate in PEM`, { hint: "check --tls-cert" });
  }
}

function parseKey(text: string, path: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch {
    const isEncrypted = text.includes("ENCRYPTED");
    throw new ReimageError("config", `${path} holds no private key in PEM that can be used`, {
      hint: isEncrypted ? "it is encrypted: openssl pkey -in FILE -out NEW takes the password off" : "check --tls-key",
    });
  }
}
