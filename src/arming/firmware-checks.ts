/** How this machine boots, and whether it would boot a lifeboat. */
import { readFileSync } from "node:fs";
import { ReimageError } from "../errors.ts";
import { isUefi, readFirmware } from "../firmware/firmware.ts";
import { openEfiVariables } from "../firmware/mounted-variables.ts";
import { readLoader } from "../lifeboat/boot-volume/loaders.ts";
import { isSignedPe } from "../lifeboat/boot-volume/pe-signature.ts";
import { requireNoMenu } from "./loader-menu.ts";

export interface BootFacts {
  readonly firmware: "bios" | "uefi";
  /** PARTUUID of the partition that the firmware booted from; null where it does not say, or BIOS. */
  readonly espUuid: string | null;
  /** Where on it the firmware looks for a loader, beside the removable-media path. */
  readonly loaderPaths: readonly string[];
  /** Another loader than ours; null: ours. */
  readonly loaderPath: string | null;
}

/** @throws ReimageError `lifeboat` where the firmware would not start the loader or the kernel. */
export async function readBootFacts(kernelPath: string, loaderPath: string | null): Promise<BootFacts> {
  const bios = { firmware: "bios", espUuid: null, loaderPaths: [], loaderPath: null } as const;
  if (!(await isUefi())) return bios;
  await using variables = await openEfiVariables();
  const firmware = await readFirmware("/sys/firmware", variables);
  if (firmware.kind === "bios") return bios;
  if (firmware.bitness === 32) {
    throw new ReimageError("lifeboat", "the firmware is a 32-bit UEFI, and the loader is made for 64 bits", {
      hint: "reimage this machine from a USB stick or over the network",
    });
  }
  if (loaderPath === null) await requireNoMenu(variables);
  if (firmware.secureBoot) {
    const loader =
      loaderPath === null ? Buffer.from(await readLoader("systemd-bootx64.efi")) : readFileSync(loaderPath);
    requireSigned(
      loader,
      loaderPath ?? "the built-in boot loader",
      "give a signed one that reads systemd-boot's configuration with --loader, or switch Secure Boot off",
    );
    requireSigned(
      readFileSync(kernelPath),
      kernelPath,
      "use a kernel that is signed by a key the firmware knows, or switch Secure Boot off",
    );
  }
  const path = firmware.bootedFrom?.path ?? null;
  return {
    firmware: "uefi",
    espUuid: firmware.bootedFrom?.partitionUuid ?? null,
    loaderPaths: path === null ? [] : [path],
    loaderPath,
  };
}

function requireSigned(data: Buffer, name: string, hint: string): void {
  if (isSignedPe(data)) return;
  throw new ReimageError("lifeboat", `Secure Boot is on, and ${name} is not signed: the firmware would refuse it`, {
    hint,
  });
}
