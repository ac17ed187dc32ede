/** The operator's way of configuring a released initramfs: a second cpio archive, appended. */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { appendFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { shell } from "./cache.ts";

/** Text, or text of an executable file. */
export type AppendedFile = string | { readonly executable: string };

/** Writes a newc archive to `archive`; names are paths in the initramfs without the leading slash. */
export async function makeArchive(files: Readonly<Record<string, AppendedFile>>, archive: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "reimage-cpio-"));
  try {
    for (const [name, file] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      if (typeof file === "string") writeFileSync(join(folder, name), file);
      else writeFileSync(join(folder, name), file.executable, { mode: 0o755 });
    }
    await shell({ cwd: folder })`find . -mindepth 1 | sort | cpio --quiet -o -H newc -R 0:0 -F ${archive}`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Copies `initramfs` to `result` with the files of /etc/reimage, and others by their whole path, appended. */
export async function appendConfig(
  initramfs: string,
  config: Readonly<Record<string, string>>,
  result: string,
  others: Readonly<Record<string, AppendedFile>> = {},
): Promise<string> {
  const named = Object.entries(config).map(([name, text]) => [`etc/reimage/${name}`, text]);
  const archive = `${result}.cpio`;
  await makeArchive({ ...Object.fromEntries(named), ...others }, archive);
  copyFileSync(initramfs, result);
  truncateSync(result, Math.ceil(statSync(result).size / 4) * 4); // the kernel looks at multiples of four bytes
  await appendFile(result, readFileSync(archive));
  rmSync(archive);
  return result;
}
