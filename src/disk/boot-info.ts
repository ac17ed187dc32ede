/** `/etc/reimage/boot-info.json`: what a reimage writes about itself and its disk, for the next one to compare. */
import { ReimageError } from "../errors.ts";
import type { DiskIdentity } from "../report/events.ts";

/** An empty string, or null, means unknown. The names are those of the file. */
export interface BootInfo {
  readonly image_id: string;
  /** The version counter in the manifest of the image; null where it had none. */
  readonly image_version: number | null;
  readonly primary_disk: string;
  readonly os_partition: string;
  readonly initrd: string;
  readonly cmdline: string;
  readonly kernel: string;
  readonly bootloaderid: string;
  /** Null where the file was written by something that did not know the disk's identity. */
  readonly disk: DiskIdentity | null;
  /** The run that installed this OS: with the two below, what a report that was lost said. */
  readonly run_id: string;
  readonly image_sha256: string;
  /** Of what the disk held, read back from it. */
  readonly readback_sha256: string;
}

/** Where boot info lies in an OS. */
export const bootInfoPath = "/etc/reimage/boot-info.json";

/** @throws ReimageError `target` for text that is no boot info. Absent fields are unknown, further ones are ignored. */
export function parseBootInfo(text: string): BootInfo {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid("it is not JSON", cause);
  }
  if (!isRecord(value)) throw invalid("it is not a JSON object");
  return {
    image_id: textOf(value, "image_id") ?? "",
    image_version: versionOf(value, "image_version"),
    primary_disk: textOf(value, "primary_disk") ?? "",
    os_partition: textOf(value, "os_partition") ?? "",
    initrd: textOf(value, "initrd") ?? "",
    cmdline: textOf(value, "cmdline") ?? "",
    kernel: textOf(value, "kernel") ?? "",
    bootloaderid: textOf(value, "bootloaderid") ?? "",
    disk: parseIdentity(value.disk),
    run_id: textOf(value, "run_id") ?? "",
    image_sha256: textOf(value, "image_sha256") ?? "",
    readback_sha256: textOf(value, "readback_sha256") ?? "",
  };
}

/** The text of the file. */
export function formatBootInfo(info: BootInfo): string {
  return `${JSON.stringify(info, null, 2)}\n`;
}

function parseIdentity(value: unknown): DiskIdentity | null {
  if (value === undefined || value === null) return null;
  if (!isRecord(value)) throw invalid("disk is not an object");
  return {
    path: textOf(value, "path") ?? "",
    sizeBytes: numberOf(value, "sizeBytes"),
    sectorSizeBytes: numberOf(value, "sectorSizeBytes"),
    serial: textOf(value, "serial"),
    wwn: textOf(value, "wwn"),
    model: textOf(value, "model"),
  };
}

function textOf(record: Record<string, unknown>, field: string): string | null {
  const value = record[field];
  if (value === undefined || value === null) return null;
  if (typeof value !== "string") throw invalid(`${field} is not text`);
  return value;
}

function numberOf(record: Record<string, unknown>, field: string): number {
  const value = record[field];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value <= 0) throw invalid(`${field} is not a size`);
  return value;
}

function versionOf(record: Record<string, unknown>, field: string): number | null {
  const value = record[field];
  if (value === undefined || value === null) return null;
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
    throw invalid(`${field} is not a version`);
  return value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function invalid(reason: string, cause?: unknown): ReimageError {
  return new ReimageError("target", `the old OS's ${bootInfoPath} cannot be read: ${reason}`, {
    hint: "it tells whether this is the right disk; repair it, or remove it and name the disk in target.disk",
    cause,
  });
}
