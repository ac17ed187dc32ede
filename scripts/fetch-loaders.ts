/**
 * Brings the boot loaders of the lifeboat to build/loaders/, from which they go into the executable: from the installed
 * Debian packages, or from packages that are fetched and unpacked without root. The same packages give the same bytes.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { $ } from "zx";

/** Where packages lie that are not installed. */
const cache = join("build", "cache", "loader-packages");
const complete = join("build", "loaders");
const loaders = `${complete}.new`;

/** A file of a Debian package as it is installed; fetches the package where it is not. */
async function packageFile(name: string, path: string): Promise<string> {
  if (existsSync(path)) return path;
  const folder = join(cache, name);
  if (!existsSync(folder)) {
    const partial = `${folder}.partial`;
    rmSync(partial, { recursive: true, force: true });
    mkdirSync(partial, { recursive: true });
    console.log(`fetching ${name}`);
    await $({ cwd: partial, quiet: true })`apt-get -q download ${name}`;
    const archive = readdirSync(partial).find((each) => each.endsWith(".deb"));
    if (archive === undefined) throw new Error(`apt-get download ${name} left no package in ${partial}`);
    await $({ cwd: partial, quiet: true })`dpkg -x ${archive} .`;
    await $({ quiet: true })`mv ${partial} ${folder}`;
  }
  // Newer releases have what was in /sbin in /usr/sbin.
  const fetched = [join(folder, path), join(folder, "usr", path)].find(existsSync);
  if (fetched === undefined) throw new Error(`the Debian package ${name} has no ${path}`);
  return fetched;
}

/**
 * Puts SYSLINUX's boot sector, ldlinux.sys and ldlinux.c32 in `loaders`. They exist only inside its installer, so it installs
 * them on a FAT file system, and they are taken from that.
 */
async function extractSyslinux(): Promise<void> {
  const folders = [
    ["syslinux", "/usr/bin/syslinux"],
    ["dosfstools", "/sbin/mkfs.vfat"],
    ["mtools", "/usr/bin/mcopy"], // what the installer writes its files with
  ] as const;
  const programs: string[] = [];
  for (const [name, path] of folders) programs.push(await packageFile(name, path));
  const [syslinux, mkfs, mcopy] = programs as [string, string, string];
  const scratch = mkdtempSync(join(tmpdir(), "reimage-loaders-"));
  try {
    const image = join(scratch, "fat.img");
    // No time, no random number: neither may show in what is taken out.
    const path = [join(mcopy, ".."), process.env.PATH].join(delimiter);
    const run = $({ quiet: true, env: { ...process.env, PATH: path, LC_ALL: "C", MTOOLS_SKIP_CHECK: "1" } });
    await run`truncate -s 4M ${image} && ${mkfs} --invariant -F 16 -s 1 ${image} && ${syslinux} --install ${image}`;
    writeFileSync(join(loaders, "syslinux-boot-sector.bin"), readFileSync(image).subarray(0, 512));
    await run`${mcopy} -n -o -i ${image} ::/ldlinux.sys ::/ldlinux.c32 ${loaders}`;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

rmSync(loaders, { recursive: true, force: true });
mkdirSync(loaders, { recursive: true });
await extractSyslinux();
const copies = [
  ["syslinux-common", "/usr/lib/syslinux/mbr/mbr.bin", "mbr.bin"],
  ["syslinux-common", "/usr/share/doc/syslinux-common/copyright", "syslinux.copyright"],
  ["systemd-boot-efi", "/usr/share/doc/systemd-boot-efi/copyright", "systemd-boot.copyright"],
  ["systemd-boot-efi", "/usr/lib/systemd/boot/efi/systemd-bootx64.efi", "systemd-bootx64.efi"],
] as const;
for (const [name, path, as] of copies) copyFileSync(await packageFile(name, path), join(loaders, as));
rmSync(complete, { recursive: true, force: true });
renameSync(loaders, complete);
