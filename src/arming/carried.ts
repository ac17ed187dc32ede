/** The files that go along: the configuration of this machine, what it names, and what vouches for the image. */
import { existsSync, readFileSync } from "node:fs";
import type { Config } from "../config/schema.ts";
import { ReimageError } from "../errors.ts";
import type { ArchiveFile } from "../lifeboat/boot-volume/cpio.ts";

/** Where the initramfs looks for its configuration. */
const configPath = "/etc/reimage/reimage.yaml";

/** Where what it names is put: paths of the old system may be mounted over there, /tmp for one. */
const carriedDirectory = "/etc/reimage/carried";

export interface Carried {
  readonly files: readonly ArchiveFile[];
  /** Keys that name the files where they are in the initramfs. */
  readonly overrides: readonly { readonly key: string; readonly value: string }[];
}

/**
 * The configuration as the initramfs finds it: the file, and the files that it names.
 * @param path of the configuration in the running system; null: everything is set by `--set`.
 * @throws ReimageError `config` for a file that it names and that is not there.
 */
export function carriedConfig(config: Config, path: string | null): Carried {
  const files: ArchiveFile[] = [];
  const overrides: { key: string; value: string }[] = [];
  if (path !== null) files.push({ path: configPath, content: readFileSync(path), mode: 0o600 });
  const named: readonly (readonly [key: string, path: string | null, needed: boolean])[] = [
    ["retention.list", config.retention.list, true],
    ["image.publicKey", config.image.publicKey, config.image.publicKeyNamed],
    ["image.ca", config.image.ca, true],
    ["control.ca", config.control?.ca ?? null, true],
    ["control.tokenFile", config.control?.tokenFile ?? null, false],
  ];
  for (const [key, file, needed] of named) {
    if (file === null) continue;
    if (existsSync(file)) {
      const carried = `${carriedDirectory}/${key}`;
      files.push({ path: carried, content: readFileSync(file), mode: 0o600 });
      overrides.push({ key, value: carried });
    } else if (needed) {
      throw new ReimageError("config", `${key}: ${file} is not there`, { hint: "check the configuration" });
    }
  }
  return { files, overrides };
}

/** Options of `--set`, as the kernel command line carries them. @throws ReimageError `usage` for what cannot stand there. */
export function formatOverrides(overrides: readonly { readonly key: string; readonly value: string }[]): string[] {
  return overrides.map(({ key, value }) => {
    if (/["\n]/.test(value)) {
      throw new ReimageError("usage", `--set ${key}: a kernel command line cannot hold a quote or a line break`, {
        hint: "write it into the configuration file",
      });
    }
    return `reimage.${key}=${/\s/.test(value) ? `"${value}"` : value}`;
  });
}

/** The kernel command line of the next boot: the consoles of this one, and what was asked for (pure). */
export function nextCommandLine(current: string, further: readonly string[]): string {
  const consoles = current.split(/\s+/).filter((argument) => /^(console|earlycon)=/.test(argument));
  const shown = consoles.length > 0 ? consoles : ["console=tty0"];
  return ["quiet", "panic=30", ...shown, ...further].join(" ");
}
