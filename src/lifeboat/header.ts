/** The header of a lifeboat: what it is, of which disk, and what lies where. Written once, before it is armed. Pure. */
import type { Disk } from "../disk/disk.ts";
import type { PartitionTable } from "../disk/table.ts";
import type { Region } from "../image/regions.ts";
import { type BulkLayout, bootLayout } from "./layout.ts";
import type { PlaceUndo } from "./places/place.ts";
import { openText, sealText } from "./sealed-text.ts";
import type { SwitchForm, SwitchPlan } from "./switch/switch-plan.ts";

const magic = "reimage lifeboat header 1\n";

export type DiskIdentity = Pick<Disk, "serial" | "wwn" | "model" | "sizeBytes" | "sectorSizeBytes">;

export interface LifeboatHeader {
  readonly uuid: string;
  /** The version of reimage that made it. */
  readonly version: string;
  readonly disk: DiskIdentity;
  readonly firmware: "bios" | "uefi";
  /** The boot extent, and the stretches that are the bulk, as absolute bytes of the disk. */
  readonly boot: Region;
  readonly bulk: readonly Region[];
  readonly layout: BulkLayout;
  /** The boot volume, as absolute bytes of the disk, and the checksum of all of it. */
  readonly volume: Region & { readonly checksum: string };
  readonly switching: {
    readonly form: SwitchForm;
    /** Which sector of the disk is the switch. */
    readonly sectorOffsetBytes: number;
    /** Base64, one sector each: what boots the lifeboat, and what boots the old OS. */
    readonly lifeboatSector: string;
    readonly oldSector: string;
    /** Form `gpt`: the entries of the transitional table. The zeros at their end are left out. */
    readonly entries: { readonly sizeBytes: number; readonly start: string } | null;
  };
  /** The partitions of the old OS, which the table on the disk does not name while the lifeboat boots. */
  readonly oldTable: PartitionTable;
  /** What the configuration calls `PARTUUID=…` and the like, by the number of the old partition. */
  readonly oldNames: Readonly<Record<string, number>>;
  /** The compressed image in the bulk. */
  readonly image: { readonly name: string; readonly sizeBytes: number; readonly sha256: string };
  /** How often one state may be entered before the run is given up. */
  readonly mostAttempts: number;
  /** How the place is given back. */
  readonly undo: PlaceUndo;
}

/** @throws ReimageError `bug` where it is too long: the place has too many extents for it. */
export function encodeHeader(header: LifeboatHeader): Buffer {
  return sealText(magic, JSON.stringify(header), bootLayout.headerBytes);
}

/** Null where the block holds no whole header. */
export function parseHeader(block: Buffer): LifeboatHeader | null {
  const text = openText(magic, block);
  return text === null ? null : (JSON.parse(text) as LifeboatHeader); // its digest vouches for it
}

/** The plan of the switch, as the header has kept it. */
export function switchPlanOf({ switching, volume, disk }: LifeboatHeader): SwitchPlan {
  const entries = switching.entries === null ? null : Buffer.alloc(switching.entries.sizeBytes);
  if (entries !== null) entries.write(switching.entries?.start ?? "", "base64");
  return {
    form: switching.form,
    sectorSizeBytes: disk.sectorSizeBytes,
    diskSizeBytes: disk.sizeBytes,
    bootVolume: { offsetBytes: volume.offsetBytes, sizeBytes: volume.sizeBytes },
    sectorOffsetBytes: switching.sectorOffsetBytes,
    oldSector: Buffer.from(switching.oldSector, "base64"),
    lifeboatSector: Buffer.from(switching.lifeboatSector, "base64"),
    entries,
  };
}

/** What the header keeps of a plan. */
export function keepSwitchPlan(plan: SwitchPlan): LifeboatHeader["switching"] {
  const { form, sectorOffsetBytes, oldSector, lifeboatSector, entries } = plan;
  const usedBytes = entries === null ? 0 : entries.findLastIndex((byte) => byte !== 0) + 1;
  return {
    form,
    sectorOffsetBytes,
    oldSector: oldSector.toString("base64"),
    lifeboatSector: lifeboatSector.toString("base64"),
    entries:
      entries === null ? null : { sizeBytes: entries.length, start: entries.subarray(0, usedBytes).toString("base64") },
  };
}

/** What tells a disk from another one. */
export function diskIdentity({ serial, wwn, model, sizeBytes, sectorSizeBytes }: Disk): DiskIdentity {
  return { serial, wwn, model, sizeBytes, sectorSizeBytes };
}

/** All stretches of the disk that belong to the lifeboat. */
export function lifeboatRegions({ boot, bulk }: Pick<LifeboatHeader, "boot" | "bulk">): Region[] {
  return [boot, ...bulk];
}
