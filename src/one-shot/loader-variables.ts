/** What a boot loader and Linux tell each other by EFI variables (systemd's Boot Loader Interface). */
import { type EfiVariables, vendors } from "../firmware/efi-variables.ts";

/** Bits of LoaderFeatures. */
export const loaderFeatures = { oneShot: 1n << 3n, bootCounting: 1n << 4n } as const;

/** Text as these variables hold it. */
export function formatLoaderText(text: string): Buffer {
  return Buffer.from(`${text}\0`, "utf16le");
}

/** The text of a variable, up to its zero. Throws nothing. */
export function parseLoaderText(data: Buffer): string {
  return data.toString("utf16le").split("\0", 1)[0] ?? "";
}

/** Which boot loader started this machine, such as `systemd-boot 252.39-1~deb12u1`; null where it does not say. */
export async function readLoaderInfo(variables: EfiVariables): Promise<string | null> {
  const variable = await variables.read("LoaderInfo", vendors.loader);
  return variable === null ? null : parseLoaderText(variable.data);
}

/** What it can do; 0 where it does not say. */
export async function readLoaderFeatures(variables: EfiVariables): Promise<bigint> {
  const data = (await variables.read("LoaderFeatures", vendors.loader))?.data;
  return data !== undefined && data.length >= 8 ? data.readBigUInt64LE(0) : 0n;
}
