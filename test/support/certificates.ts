/** A private CA and certificates of every kind, made by openssl. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import type { Certificate } from "./http-server.ts";

export interface PrivateCa extends AsyncDisposable {
  /** The CA's certificate in PEM. */
  readonly caFile: string;
  /** Signs a certificate. @param subject such as "IP:127.0.0.1" @param from, to such as "20200101000000Z" */
  sign(subject: string, from?: string, to?: string): Promise<Certificate>;
}

const config = (directory: string, subject: string) => `
[ca]
default_ca = it
[it]
dir = ${directory}
database = ${directory}/index
serial = ${directory}/serial
new_certs_dir = ${directory}
default_md = sha256
policy = policy
x509_extensions = extensions
unique_subject = no
[policy]
commonName = supplied
[extensions]
subjectAltName = ${subject}
`;

/** Makes a CA in a directory of its own, which goes with it. */
export async function createCa(name = "reimage test CA"): Promise<PrivateCa> {
  const directory = mkdtempSync(join(tmpdir(), "reimage-ca-"));
  const at = (file: string) => join(directory, file);
  const openssl = (...args: string[]) => execa("openssl", args, { cwd: directory });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await openssl("req", "-x509", ...newKey, "-keyout", "ca.key", "-out", "ca.pem", "-subj", `/CN=${name}`, "-days", "2");
  writeFileSync(at("index"), "");
  writeFileSync(at("serial"), "01\n");
  let count = 0;
  return {
    caFile: at("ca.pem"),
    async sign(subject, from = "20200101000000Z", to = "20900101000000Z") {
      const id = `server${count++}`;
      writeFileSync(at("ca.cnf"), config(directory, subject));
      await openssl("req", "-new", ...newKey, "-keyout", `${id}.key`, "-out", `${id}.csr`, "-subj", "/CN=server");
      const dates = ["-startdate", from, "-enddate", to];
      const signing = ["-cert", "ca.pem", "-keyfile", "ca.key", "-in", `${id}.csr`, "-out", `${id}.pem`, "-notext"];
      await openssl("ca", "-batch", "-config", "ca.cnf", ...dates, ...signing);
      return { cert: readFileSync(at(`${id}.pem`), "utf8"), key: readFileSync(at(`${id}.key`), "utf8") };
    },
    async [Symbol.asyncDispose]() {
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
