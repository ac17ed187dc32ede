/** How the configuration names file systems, images and mount points (pure). A `…Problem` is null where all is well. */

const TAGGED = /^(LABEL|UUID|PARTLABEL|PARTUUID)=(.+)$/;
const DEVICE = /^\/dev\/[^/]/;
const PARTITION_NUMBER = /^[1-9][0-9]{0,2}$/;

/** Where an image or a manifest lies. */
export type Source =
  | { readonly kind: "filesystem"; readonly fileSystem: string; readonly path: string }
  | { readonly kind: "url"; readonly url: string }
  | { readonly kind: "file"; readonly path: string };

/**
 * Takes `LABEL=data:/images/os.img.bz2`, `/dev/sda3:/os.img`, `https://host/os.img` or `/path/of/a/file` apart.
 * @returns null where `text` is none of these.
 */
export function parseSource(text: string): Source | null {
  if (/^https?:\/\//.test(text)) return URL.canParse(text) ? { kind: "url", url: text } : null;
  // A label may hold colons, and so may names below /dev/disk/by-path: the path begins at the first ":/".
  const colon = text.indexOf(":/");
  if (colon > 0) {
    const fileSystem = text.slice(0, colon);
    const path = text.slice(colon + 1);
    if (oldFileSystemProblem(fileSystem) === null) {
      return mountPointProblem(path) === null ? { kind: "filesystem", fileSystem, path } : null;
    }
  }
  return mountPointProblem(text) === null && !text.startsWith("/dev/") ? { kind: "file", path: text } : null;
}

/** What is wrong with an image source. */
export function sourceProblem(text: string): string | null {
  return parseSource(text) === null
    ? `${JSON.stringify(hideCredentials(text))} is not an image source: expected LABEL=…:/path, UUID=…:/path, /dev/…:/path, http(s)://… or /path`
    : null;
}

/** What is wrong with an address that must be on a web server. */
export function webAddressProblem(text: string): string | null {
  return /^https?:\/\/[^/\s]+/.test(text) && URL.canParse(text) ? null : "expected an http(s) URL";
}

/** What is wrong with the name by which the control endpoint knows a machine. */
export function machineProblem(text: string): string | null {
  return /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/.test(text) ? null : "expected a UUID";
}

/** What is wrong with the name of an old file system. */
export function oldFileSystemProblem(text: string): string | null {
  return TAGGED.test(text) || DEVICE.test(text)
    ? null
    : `${JSON.stringify(text)} names no file system: expected LABEL=…, UUID=…, PARTLABEL=…, PARTUUID=… or /dev/…`;
}

/** What is wrong with the name of a new file system, which only the target can hold: no /dev/… here. */
export function newFileSystemProblem(text: string): string | null {
  return TAGGED.test(text) || PARTITION_NUMBER.test(text)
    ? null
    : `${JSON.stringify(text)} names no file system of the image: expected a partition number, LABEL=…, UUID=…, PARTLABEL=… or PARTUUID=…`;
}

/** What is wrong with a mount point (or any other path inside an OS): absolute, normalised, and not the root itself. */
export function mountPointProblem(text: string): string | null {
  if (!text.startsWith("/")) return `${JSON.stringify(text)} is not an absolute path`;
  if (text === "/") return `"/" is the root itself: expected a directory below it`;
  const parts = text.slice(1).split("/");
  if (parts.some((part) => part === "" || part === "." || part === "..")) {
    return `${JSON.stringify(text)} is not normalised: no "..", ".", "//" and no slash at the end`;
  }
  return null;
}

/** The same text without what a URL may hold of secrets: user name and password, and a query (a signature, a token). */
export function hideCredentials(text: string): string {
  if (!/^\w+:\/\//.test(text)) return text;
  return text.replace(/^(\w+:\/\/)[^/?#]*@/, "$1<hidden>@").replace(/\?.*$/, "?<hidden>");
}
