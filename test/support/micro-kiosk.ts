/**
 * The smallest kiosk that a machine can reimage, for tests that end before a boot or look at the disk instead: no kernel,
 * no boot loader. It fits the configuration of the tiny kiosks. Its old root was not unmounted: the journal holds a
 * transaction, and whoever replays it changes who the kiosk is. Needs no root.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { assembleDisk, type PartitionPlan } from "../../scripts/kiosk/disk-image.ts";
import { runTestCommand } from "./loop-device.ts";
import { noise, put } from "./make-disk.ts";

/** Who the kiosk is: the content of /var/lib/kiosk/identity in the old root. */
export const microIdentity = "micro-0042\n";
const forgedIdentity = "forged-666\n"; // as long as the real one

const sizes = { oldRoot: 16, newRoot: 12, newData: 4, data: 16, spare: 16, esp: 2 } as const;

/** Files that a kiosk is made of, in the folder that it was made in. */
export interface MicroKiosk {
  readonly oldDisk: string;
  /** Raw; the compressed one is beside it, with .bz2 (MBR) or .zst (GPT). */
  readonly image: string;
  /** The file systems of the old disk. */
  readonly oldRoot: string;
  readonly oldData: string;
}

/**
 * Makes the kiosk. MBR: root, data with the image, spare. GPT: EFI system partition, root with the image.
 * @param furtherImages files that lie beside the image.
 */
export async function makeMicroKiosk(
  folder: string,
  table: "mbr" | "gpt",
  furtherImages: readonly string[] = [],
): Promise<MicroKiosk> {
  const at = (name: string): string => join(folder, name);
  const tree = (name: string): string => {
    mkdirSync(at(name));
    return at(name);
  };
  const newTree = tree("new-tree");
  put(newTree, "/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
  put(newTree, "/etc/group", "root:x:0:\n");
  put(newTree, "/etc/hostname", "unnamed\n");
  put(newTree, "/program", noise("program", 1 << 20));
  mkdirSync(join(newTree, "boot/efi"), { recursive: true });
  await makeExt4(at("new-root.ext4"), "root", newTree, sizes.newRoot);

  const imageMiB = 24;
  const image = at("new.img");
  if (table === "mbr") {
    await makeExt4(at("new-data.ext4"), "data", null, sizes.newData);
    await assembleDisk(image, {
      table,
      sizeMiB: imageMiB,
      partitions: [
        partition(1, 1, sizes.newRoot, "83", at("new-root.ext4")),
        partition(2, 1 + sizes.newRoot, sizes.newData, "83", at("new-data.ext4")),
      ],
    });
  } else {
    await makeFat(at("esp.fat"), sizes.esp);
    await assembleDisk(image, {
      table,
      sizeMiB: imageMiB,
      partitions: [
        partition(1, 1, sizes.esp, "uefi", at("esp.fat")),
        partition(2, 1 + sizes.esp, sizes.newRoot, "linux", at("new-root.ext4")),
      ],
    });
  }
  // As the configuration of the tiny kiosk of this layout names it; nobody has signed for this one.
  const packed = table === "mbr" ? "bz2" : "zst";
  await runTestCommand(table === "mbr" ? ["lbzip2", "--keep", image] : ["zstd", "-q", image]);

  const oldTree = tree("old-tree");
  put(oldTree, "/etc/passwd", "root:x:0:0::/root:/bin/sh\nkiosk:x:1500:1500::/:/bin/sh\n");
  put(oldTree, "/etc/group", "root:x:0:\nkiosk:x:1500:\n");
  put(oldTree, "/etc/hostname", "micro\n");
  put(oldTree, "/var/lib/kiosk/identity", microIdentity, 0o600);
  put(oldTree, "/boot/efi/kiosk/site.cfg", "site=42\n", 0o600);
  const dataTree = tree("data-tree");
  const images = join(table === "mbr" ? dataTree : oldTree, "images");
  mkdirSync(images);
  await runTestCommand(["cp", `${image}.${packed}`, join(images, `os.img.${packed}`)]);
  for (const further of furtherImages) await runTestCommand(["cp", further, images]);
  await makeExt4(at("old-root.ext4"), "root", oldTree, sizes.oldRoot);
  await giveToKiosk(at("old-root.ext4"), "/boot/efi/kiosk/site.cfg");
  await leaveTransaction(at("old-root.ext4"), at("forged"));
  await makeExt4(at("old-data.ext4"), "data", dataTree, sizes.data);
  const oldDisk = at("old.img");
  await assembleDisk(oldDisk, {
    table,
    sizeMiB: 64,
    partitions:
      table === "mbr"
        ? [
            partition(1, 1, sizes.oldRoot, "83", at("old-root.ext4")),
            partition(2, 20, sizes.data, "83", at("old-data.ext4")),
            partition(3, 40, sizes.spare, "83", null),
          ]
        : [
            partition(1, 1, sizes.esp, "uefi", at("esp.fat")),
            partition(2, 1 + sizes.esp, sizes.oldRoot, "linux", at("old-root.ext4")),
          ],
  });
  return { oldDisk, image, oldRoot: at("old-root.ext4"), oldData: at("old-data.ext4") };
}

export function partition(
  number: number,
  startMiB: number,
  sizeMiB: number,
  type: string,
  contents: string | null,
): PartitionPlan {
  return { number, startMiB, sizeMiB, type, contents };
}

/** An ext4 that holds a tree, owned by root. A disk with larger sectors than `blockBytes` cannot be mounted. */
export async function makeExt4(
  file: string,
  label: string,
  tree: string | null,
  sizeMiB: number,
  blockBytes = 1024,
): Promise<void> {
  const contents = tree === null ? [] : ["-d", tree];
  const options = [
    "-b",
    String(blockBytes),
    "-m",
    "0",
    "-J",
    `size=${(blockBytes * 1024) / (1 << 20)}`,
    "-E",
    "root_owner=0:0",
    "-L",
    label,
  ];
  await runTestCommand(["fakeroot", "mke2fs", "-q", "-t", "ext4", ...options, ...contents, file, `${sizeMiB}M`]);
}

async function makeFat(file: string, sizeMiB: number): Promise<void> {
  writeFileSync(file, "");
  await runTestCommand(["truncate", "-s", `${sizeMiB}M`, file]);
  await runTestCommand(["mkfs.vfat", "-n", "ESP", file]);
}

async function giveToKiosk(fileSystem: string, path: string): Promise<void> {
  for (const field of ["uid", "gid"]) {
    await runTestCommand(["debugfs", "-w", "-R", `sif ${path} ${field} 1500`, fileSystem]);
  }
}

/** Writes a transaction into the journal that gives the kiosk another identity, and leaves it there. */
async function leaveTransaction(fileSystem: string, forged: string): Promise<void> {
  const block = (await runTestCommand(["debugfs", "-R", "blocks /var/lib/kiosk/identity", fileSystem])).trim();
  writeFileSync(forged, Buffer.concat([Buffer.from(forgedIdentity), Buffer.alloc(1024)]).subarray(0, 1024));
  writeFileSync(`${forged}.debugfs`, `jo\njw -b ${block} ${forged}\njc\n`);
  await runTestCommand(["debugfs", "-w", "-f", `${forged}.debugfs`, fileSystem]);
  const state = await runTestCommand(["dumpe2fs", "-h", fileSystem]);
  if (!state.includes("needs_recovery")) throw new Error("the journal of the old root holds nothing");
}
