/** What can be wrong with one answer of one server. Who asks for an image gets a ReimageError instead. */

/** `passing`: ask again. `absent`: the server says that there is no such file. `lasting`: asking again would not help. */
export type TroubleKind = "passing" | "absent" | "lasting";

export class Trouble extends Error {
  readonly kind: TroubleKind;
  /** What the server wants to be left alone for (Retry-After), in seconds. */
  readonly pauseSeconds: number;

  /** @param reason continues the name of the server: "answered 404 (not found)" */
  constructor(kind: TroubleKind, reason: string, pauseSeconds = 0) {
    super(reason);
    this.name = "Trouble";
    this.kind = kind;
    this.pauseSeconds = pauseSeconds;
  }
}

const words: Readonly<Record<number, string>> = {
  401: "a user name and a password are asked for, or these are wrong",
  403: "forbidden",
  404: "not found",
  407: "it is a proxy",
  408: "request timeout",
  410: "gone",
  416: "it has no such range",
  429: "too many requests",
  500: "internal error",
  502: "bad gateway",
  503: "not available now",
  504: "gateway timeout",
};

/** What an answer means that is not the file (RFC 9110, section 15). */
export function statusTrouble(status: number, headers: Headers): Trouble {
  const word = words[status];
  const reason = `answered ${status}${word === undefined ? "" : ` (${word})`}`;
  if (status === 404 || status === 410) return new Trouble("absent", reason);
  const isPassing = status >= 500 || status === 408 || status === 425 || status === 429;
  if (!isPassing) return new Trouble("lasting", reason);
  const retryAfter = headers.get("retry-after") ?? "";
  return new Trouble("passing", reason, /^[0-9]{1,6}$/.test(retryAfter) ? Number(retryAfter) : 0);
}

/**
 * What a failed connection means. The runtime's own words are left out: they hold the whole URL.
 * @param caKey the key of the configuration that names the CA certificates of this server
 */
export function connectionTrouble(thrown: unknown, caKey = "image.ca"): Trouble {
  const code = codeOf(thrown);
  const clock = () => `the clock of this machine says ${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC`;
  switch (code) {
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "CERT_UNTRUSTED":
      return new Trouble(
        "lasting",
        `shows a certificate of a CA that is not trusted here (${caKey} names the file with the CA's certificate, which replaces the built-in ones)`,
      );
    case "CERT_HAS_EXPIRED":
      return new Trouble("lasting", `shows a certificate that has expired (${clock()})`);
    case "CERT_NOT_YET_VALID":
      return new Trouble("lasting", `shows a certificate that is not valid yet (${clock()})`);
    case "ERR_TLS_CERT_ALTNAME_INVALID":
    case "HOSTNAME_MISMATCH":
      return new Trouble("lasting", "shows a certificate for another name");
    case "ECONNREFUSED":
      return new Trouble("passing", "refuses connections, or cannot be reached");
    case "ECONNRESET":
      return new Trouble("passing", "broke the connection");
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return new Trouble("passing", "cannot be found: its name has no address, or no name server answers");
    case "EPROTO":
      return new Trouble("passing", "cannot be agreed with on TLS");
    case "Malformed_HTTP_Response":
      return new Trouble("passing", "gave an answer that is not HTTP");
  }
  if (/^(CERT_|INVALID_CA|ERR_TLS_CERT)/.test(code)) return new Trouble("lasting", `shows a bad certificate (${code})`);
  return new Trouble("passing", `could not be read from (${code})`);
}

function codeOf(thrown: unknown): string {
  if (typeof thrown === "object" && thrown !== null) {
    if ("code" in thrown && typeof thrown.code === "string") return thrown.code;
    if ("name" in thrown && typeof thrown.name === "string") return thrown.name;
  }
  return "no reason given";
}
