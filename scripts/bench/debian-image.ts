/** The image of the benchmark: a real Debian 12 in a 4 GiB disk image, with a boot and a root partition. Needs no root. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fetchKernel } from "../fetch-kernel.ts";
import { cached, recipeHash, shell } from "../kiosk/cache.ts";
import { assembleDisk } from "../kiosk/disk-image.ts";
import { kioskKernel } from "../kiosk/initrd.ts";

/** What a server without a desktop has: programs, libraries and text in the usual mixture, about 700 MiB of it. */
const packages = [
  "systemd-sysv",
  "udev",
  "openssh-server",
  "python3",
  "perl",
  "git",
  "vim",
  "gcc",
  "make",
  "curl",
  "less",
  "man-db",
  "rsync",
  "sudo",
  "tcpdump",
];

const sizeMiB = 4096;
const bootMiB = 256;
const script = join(import.meta.dirname, "make-system.sh");

/** Path of the raw image, sparse, in build/cache. */
export async function debianImage(): Promise<string> {
  const mirror = process.env.DEBIAN_MIRROR ?? "http://deb.debian.org/debian";
  const options = [
    "--mode=auto",
    "--variant=minbase",
    `--include=${packages.join(",")}`,
    '--aptopt=APT::Install-Recommends "false"',
  ];
  const kernel = await fetchKernel("build/kernel");
  const { vmlinuz, initrd } = await kioskKernel();
  const hash = recipeHash([...options, kernel.version, readFileSync(script, "utf8"), `${sizeMiB} ${bootMiB}`]);
  const folder = await cached("bench-image", hash, async (partial) => {
    console.log("installing the benchmark's Debian 12 into build/cache (about two minutes)");
    const base = join(partial, "base.tar");
    await shell`mmdebstrap ${options} bookworm ${base} ${mirror}`;
    const work = join(partial, "work");
    const rootMiB = sizeMiB - bootMiB - 2;
    const settings = Object.entries({
      ...{ WORK: work, BASE: base, KERNEL: kernel.modules, VMLINUZ: vmlinuz, INITRD: initrd },
      ...{ BOOT_MIB: bootMiB, ROOT_MIB: rootMiB },
    }).map(([name, value]) => `${name}=${value}`);
    await shell`mkdir ${work}`;
    await shell`env ${settings} fakeroot ${script}`;
    const image = join(partial, "debian.img");
    await assembleDisk(image, {
      table: "mbr",
      sizeMiB,
      partitions: [
        { number: 1, startMiB: 1, sizeMiB: bootMiB, type: "83", contents: join(work, "boot.ext4") },
        { number: 2, startMiB: 1 + bootMiB, sizeMiB: rootMiB, type: "83", contents: join(work, "root.ext4") },
      ],
      grubPrefix: "(,msdos1)/grub",
    });
    // Holes wherever a block holds nothing but zeros: what a tool that made the image in place would have left out.
    await shell`fallocate --dig-holes ${image}`;
    await shell`rm -r ${work} ${base}`;
  });
  return join(folder, "debian.img");
}

if (import.meta.main) console.log(await debianImage());
