/** What is swept: systems, a firmware, where the lifeboat lies, a sector size; and the disks of it. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type AppendedFile, appendConfig } from "../kiosk/append-config.ts";
import { shell } from "../kiosk/cache.ts";
import { debianLayouts, makeDebianDisks } from "./debian/disks.ts";
import type { SystemLayout } from "./disk-check.ts";
import { makeSmallDisk, type Place, quickKernelArguments, type SmallDiskPlan, smallLayout } from "./small-os/disks.ts";
import { smallInitramfs } from "./small-os/initramfs.ts";
import { smallKernel } from "./small-os/kernel.ts";
import { fillProduct } from "./small-os/product.ts";

export interface Scenario {
  /** The old system and the new one: small ones, made for the sweep, or real Debians that GRUB starts. */
  readonly system: "small" | "debian";
  readonly firmware: "bios" | "uefi";
  readonly place: Place;
  readonly sectorSizeBytes: 512 | 4096;
  /** A change of the program that the sweep has to notice; null for the program as it is. */
  readonly mutant: string | null;
}

export const nameOf = ({ system, firmware, place, sectorSizeBytes, mutant }: Scenario): string =>
  [system, firmware, place, String(sectorSizeBytes), ...(mutant === null ? [] : [mutant])].join("-");

/**
 * MiB. The image reaches into the old root, so that nothing of the old system survives. A root with sectors of 512 bytes has
 * two groups of blocks: in the second one is the copy of the superblock by which e2fsck mends one that is torn.
 */
const newSystems = {
  512: { diskMiB: 38, rootMiB: 12 },
  4096: { diskMiB: 42, rootMiB: 16 }, // the least journal has 1024 blocks
} as const;
const oldSystems: Readonly<Record<Place, Pick<SmallDiskPlan, "diskMiB" | "rootMiB" | "swapMiB">>> = {
  gap: { diskMiB: 512, rootMiB: 300 },
  swap: { diskMiB: 512, rootMiB: 300, swapMiB: 184 },
  file: { diskMiB: 640, rootMiB: 610 },
};

/** They reach the program by its environment: optimising costs more than it brings where the one CPU is emulated. */
const engineSettings =
  "BUN_JSC_useDFGJIT=0 BUN_JSC_useBaselineJIT=0 BUN_JSC_useConcurrentGC=0 BUN_JSC_numberOfGCMarkers=1";
const append = `${quickKernelArguments} ${engineSettings}`;

export interface ScenarioDisks {
  readonly old: string;
  /** The image of the new system, raw. */
  readonly image: string;
  readonly layouts: Readonly<Record<"old" | "new", SystemLayout>>;
}

/** How a lifeboat differs from the sweep's. */
export interface FurtherBoot {
  /** Added to its kernel command line. */
  readonly append?: string;
  /** Added to its initramfs, in an archive behind the archive. */
  readonly files?: Readonly<Record<string, AppendedFile>>;
  /** For Secure Boot, signed: the kernel and the boot loader of everything. */
  readonly signed?: { readonly kernel: string; readonly loader: string };
  /** Booted instead of the small ones: paths of vmlinuz and initramfs.img. */
  readonly product?: { readonly kernel: string; readonly initramfs: string };
}

/** Makes the disks in a folder. @param program the executable that is tested. */
export async function makeDisks(
  folder: string,
  scenario: Scenario,
  program: string,
  further: FurtherBoot = {},
): Promise<ScenarioDisks> {
  const { firmware, place, sectorSizeBytes } = scenario;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  if (scenario.system === "debian") return { ...(await makeDebianDisks(folder)), layouts: debianLayouts };
  const { product, files, signed } = further;
  const small = await smallKernel();
  const kernel = signed === undefined ? small : { ...small, image: signed.kernel };
  const loader = signed === undefined ? {} : { loader: signed.loader };
  const [old, image] = [join(folder, "old.img"), join(folder, "new.img")];
  await makeSmallDisk(image, kernel, {
    firmware,
    sectorSizeBytes,
    system: "new",
    ...newSystems[sectorSizeBytes],
    ...loader,
  });
  const packed = join(folder, "packed");
  mkdirSync(packed);
  // Signed: then the lifeboat need not decode the image an extra time to judge it.
  const [secretKey, publicKey] = [join(folder, "image.key"), join(folder, "image.pub")];
  await shell`${program} pack --keygen --secret-key ${secretKey} --public-key ${publicKey}`;
  const signing = ["--secret-key", secretKey, "--image-version", "1"];
  await shell`${program} pack ${image} --level 6 ${signing} --output ${join(packed, "new.img.zst")}`;
  const bare = product?.initramfs ?? (await smallInitramfs(kernel, program));
  const initramfs = files === undefined ? bare : await appendConfig(bare, {}, join(folder, "initramfs.img"), files);
  const carried = {
    ...{ kernel: { ...kernel, image: product?.kernel ?? kernel.image }, program, initramfs, place, publicKey },
    ...{ image: join(packed, "new.img.zst"), append: `${append} ${further.append ?? ""}`.trim() },
    ...loader,
  };
  await makeSmallDisk(old, kernel, {
    ...{ firmware, sectorSizeBytes, system: "old", ...oldSystems[place], ...loader },
    fillRoot: (tree) => fillProduct(tree, carried),
  });
  return { old, image, layouts: { old: smallLayout, new: smallLayout } };
}
