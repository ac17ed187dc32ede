/** A small real Debian 12 with systemd and sshd, as a tar: what the old and the new kiosk OS are made from. */
import { join } from "node:path";
import { cached, recipeHash, shell } from "./cache.ts";

const packages = [
  "usr-is-merged", // instead of usrmerge, which brings all of perl
  "systemd-sysv",
  "udev",
  "openssh-server", // host keys are the identity that everybody knows
  "passwd",
  "login",
  "mount",
];

// What a kiosk never reads. The disks are written by an emulated CPU: every megabyte costs time.
const excluded = [
  "/usr/share/doc/*",
  "/usr/share/man/*",
  "/usr/share/locale/*",
  "/usr/share/info/*",
  "/usr/share/bash-completion/*",
];

const library = "../x86_64-linux-gnu/systemd/libsystemd-shared-252.so";

/** Path of the tar. mmdebstrap takes what it can have: root, else user namespaces, else fakechroot. */
export async function baseSystem(): Promise<string> {
  const mirror = process.env.DEBIAN_MIRROR ?? "http://deb.debian.org/debian";
  const options = [
    "--mode=auto",
    "--variant=essential",
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    `--include=${packages.join(",")}`,
    // Under fakechroot, systemd's own programs find their library in this folder alone, and would take the host's.
    `--essential-hook=mkdir -p "$1/usr/lib/systemd" && ln -s "${library}" "$1/usr/lib/systemd/"`,
    `--customize-hook=rm "$1/usr/lib/systemd/$(basename ${library})"`,
    ...excluded.map((path) => `--dpkgopt=path-exclude=${path}`),
    '--aptopt=APT::Install-Recommends "false"',
  ];
  const folder = await cached("debian", recipeHash(options), async (partial) => {
    console.log("installing a Debian 12 into build/cache (about 20 seconds)");
    await shell`mmdebstrap ${options} bookworm ${join(partial, "base.tar")} ${mirror}`;
  });
  return join(folder, "base.tar");
}
