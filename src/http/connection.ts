/** What all requests for one file share: the certificates, and the end. */
import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { ReimageError } from "../errors.ts";
import type { HttpOptions } from "./options.ts";
import type { Connection } from "./request.ts";

/** A connection that can be ended. */
export interface EndableConnection extends Connection, AsyncDisposable {}

/** @throws ReimageError `config` where `options.caFile` cannot be read, or holds no certificate. */
export async function openConnection(name: string, options: HttpOptions): Promise<EndableConnection> {
  const ca = options.caFile === null ? null : await readCertificates(options.caFile);
  const abort = new AbortController();
  return {
    ca,
    signal: abort.signal,
    async [Symbol.asyncDispose]() {
      abort.abort(new ReimageError("image", `reading image ${name} was stopped`));
    },
  };
}

/**
 * CA certificates in PEM.
 * @param key the key of the configuration that names the file
 * @throws ReimageError `config` where it cannot be read, or holds no certificate.
 */
export async function readCertificates(path: string, key = "image.ca"): Promise<string> {
  const hint = `${key} must be a file with the CA's certificate in PEM; add it to the initramfs, below /etc/reimage`;
  const text = await readFile(path, "latin1").catch((cause) => {
    throw new ReimageError("config", `the CA certificates ${path} cannot be read`, { cause, hint });
  });
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new ReimageError("config", `${path} holds no CA certificate`, { hint });
  for (const block of blocks) {
    try {
      new X509Certificate(block);
    } catch (cause) {
      throw new ReimageError("config", `${path} holds a certificate that cannot be read`, { cause, hint });
    }
  }
  return blocks.join("\n");
}
