/** URLs, apart from the secrets in them (pure). */
import { ReimageError } from "../errors.ts";
import { Trouble } from "./trouble.ts";

/** Where to ask, how to identify oneself there, and what to call it. */
export interface Address {
  /** Without user name, password and fragment. */
  readonly url: URL;
  /** The value of the Authorization header; null: none. */
  readonly authorization: string | null;
  /** For messages: without user name, password, and query, which may be a signature. */
  readonly name: string;
}

/** @throws ReimageError `config` where `text` is no http(s) URL. */
export function parseAddress(text: string): Address {
  const url = URL.canParse(text) ? new URL(text) : null;
  const address = url === null ? null : toAddress(url);
  if (address !== null) return address;
  throw new ReimageError("config", "an image's address is no http(s) URL, or its user name cannot be decoded", {
    hint: "check image.source and image.mirrors",
  });
}

function toAddress(url: URL): Address | null {
  if (url.protocol !== "http:" && url.protocol !== "https:") return null;
  const clean = new URL(url);
  clean.username = "";
  clean.password = "";
  clean.hash = "";
  const name = `${clean.origin}${clean.pathname}${clean.search === "" ? "" : "?<hidden>"}`;
  if (url.username === "" && url.password === "") return { url: clean, authorization: null, name };
  try {
    const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    return { url: clean, authorization: `Basic ${Buffer.from(pair).toString("base64")}`, name };
  } catch {
    return null; // a stray % sign
  }
}

/**
 * Where a redirection leads. What identifies us is not told to another server.
 * @throws Trouble where it leads nowhere, to something else than a web server, or from https to http.
 */
export function redirectedAddress(from: Address, location: string | null): Address {
  if (location === null || !URL.canParse(location, from.url.href)) {
    throw new Trouble("lasting", "redirects, but does not say where to");
  }
  const url = new URL(location, from.url.href);
  if (from.url.protocol === "https:" && url.protocol === "http:") {
    throw new Trouble("lasting", "redirects from https to http, which is not safe");
  }
  const to = toAddress(url);
  if (to === null) throw new Trouble("lasting", `redirects to something that is no web server (${url.protocol})`);
  const isSameOrigin = to.url.origin === from.url.origin;
  return { ...to, authorization: to.authorization ?? (isSameOrigin ? from.authorization : null) };
}

/** The URLs of a file that lies beside another, such as its manifest: the same with `suffix` behind the path. */
export function besideEach(urls: readonly string[], suffix: string): string[] {
  return urls.map((text) => {
    const url = new URL(text);
    url.pathname += suffix;
    return url.href;
  });
}
