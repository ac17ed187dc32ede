/** Keys and signatures of minisign as text, always the same, and made without the program's own functions. */
import { createHash, createPrivateKey, createPublicKey, sign } from "node:crypto";

/** What precedes the 32 bytes of an ed25519 secret key in a PrivateKeyInfo (RFC 8410). */
const pkcs8Prefix = Buffer.from("302e020100300506032b657004220420", "hex");

/** A key pair that is made from a word, and signs as minisign does. */
export function minisignKey(seed: string, keyIdSeed: string = seed) {
  const secret = createHash("sha256").update(seed).digest();
  const privateKey = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, secret]), format: "der", type: "pkcs8" });
  const raw = createPublicKey(privateKey).export({ format: "der", type: "spki" }).subarray(-32);
  const keyId = createHash("sha256").update(`id of ${keyIdSeed}`).digest().subarray(0, 8);
  return {
    publicText: `untrusted comment: minisign public key\n${Buffer.concat([Buffer.from("Ed"), keyId, raw]).toString("base64")}\n`,
    sign(data: Buffer, comment: string, kind: "Ed" | "ED" = "ED"): string {
      const signed = kind === "ED" ? createHash("blake2b512").update(data).digest() : data;
      const signature = sign(null, signed, privateKey);
      const global = sign(null, Buffer.concat([signature, Buffer.from(comment)]), privateKey);
      const line = Buffer.concat([Buffer.from(kind), keyId, signature]).toString("base64");
      return `untrusted comment: signature\n${line}\ntrusted comment: ${comment}\n${global.toString("base64")}\n`;
    },
  };
}
