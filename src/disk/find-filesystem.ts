/** Finds file systems by what is written on the disks, with low-level probes: no cache, no udev. */
import { type ErrorCode, ReimageError } from "../errors.ts";
import { type Disk, deviceToDisks } from "./inventory.ts";
import { devicePath } from "./parse-disk.ts";
import { type ByteRange, type FileSystem, type Probe, probe } from "./probe.ts";
import { listDirectory, readAttribute } from "./sysfs.ts";

export type { ByteRange, FileSystem } from "./probe.ts";

/** Where a file system was found. */
export interface FoundFileSystem {
  readonly device: string;
  /** The disk it lies on; null for a dm or md device over several disks. */
  readonly disk: Disk | null;
  /** Null where it is no partition. */
  readonly partitionNumber: number | null;
  readonly fileSystem: FileSystem | null;
}

/** Where to look, and the error code of not finding it. */
export interface FindOptions {
  readonly disks: readonly Disk[];
  readonly code: ErrorCode;
}

/**
 * What lies on a device, or in a range of it or of a file; null where blkid knows nothing there.
 * @throws ReimageError `command` where it cannot be read.
 */
export async function probeFileSystem(path: string, range?: ByteRange): Promise<FileSystem | null> {
  return (await probe(path, range)).fileSystem;
}

/**
 * The one device that `spec` (LABEL= UUID= PARTLABEL= PARTUUID= or /dev/…) names, among the partitions of the disks, the
 * disks without partitions, and the dm and md devices on these disks alone.
 * @throws ReimageError with the caller's code for none, `ambiguous` for several, listing what there is.
 */
export async function findFileSystem(spec: string, within: FindOptions): Promise<FoundFileSystem> {
  const wanted = parseSpec(spec, within.code);
  const candidates = await readCandidates(within.disks);
  const matching = candidates.filter((candidate) => matches(candidate, wanted));
  const [found] = matching;
  if (found !== undefined && matching.length === 1) {
    const { device, disk, partitionNumber } = found;
    return { device, disk, partitionNumber, fileSystem: found.fileSystem };
  }
  const list = candidates.map((candidate) => `\n  ${describe(candidate)}`).join("");
  if (found === undefined) {
    throw new ReimageError(within.code, `nothing is ${spec}; there is:${list === "" ? " no disk at all" : list}`, {
      hint: "check the name in the configuration, and whether the disk is connected and its driver loaded",
    });
  }
  const devices = matching.map((candidate) => candidate.device).join(" and ");
  throw new ReimageError("ambiguous", `${devices} are both ${spec}; there is:${list}`, {
    hint: "name it in another way (PARTUUID= tells partitions apart), or disconnect the disk that is not meant",
  });
}

interface Wanted {
  readonly key: "LABEL" | "UUID" | "PARTLABEL" | "PARTUUID" | "path";
  readonly value: string;
}

/** The links of udev, which is not here, mean what they are made from. */
const LINKS: readonly (readonly [string, Wanted["key"]])[] = [
  ["/dev/disk/by-label/", "LABEL"],
  ["/dev/disk/by-uuid/", "UUID"],
  ["/dev/disk/by-partlabel/", "PARTLABEL"],
  ["/dev/disk/by-partuuid/", "PARTUUID"],
];

function parseSpec(spec: string, code: ErrorCode): Wanted {
  for (const [prefix, key] of LINKS) {
    if (spec.startsWith(prefix)) return { key, value: spec.slice(prefix.length) };
  }
  if (spec.startsWith("/dev/")) return { key: "path", value: spec };
  const [, key, value] = /^(LABEL|UUID|PARTLABEL|PARTUUID)=(.+)$/s.exec(spec) ?? [];
  if (key !== undefined && value !== undefined) return { key: key as Wanted["key"], value };
  throw new ReimageError(code, `${JSON.stringify(spec)} names no file system`, {
    hint: "write LABEL=, UUID=, PARTLABEL=, PARTUUID= or a device below /dev",
  });
}

interface Candidate extends FoundFileSystem, Probe {
  /** Further names of the device: /dev/mapper/…, /dev/disk/by-path/… */
  readonly aliases: readonly string[];
}

async function readCandidates(disks: readonly Disk[]): Promise<Candidate[]> {
  const devices = [...disks.flatMap(onDisk), ...(await mappedDevices(disks))];
  return await Promise.all(devices.map(async (device) => ({ ...device, ...(await probe(device.device)) })));
}

type Device = Omit<Candidate, keyof Probe>;

function onDisk(disk: Disk): Device[] {
  const link = disk.byPath === null ? null : `/dev/disk/by-path/${disk.byPath}`;
  if (disk.partitions.length === 0) {
    return [{ device: disk.path, disk, partitionNumber: null, aliases: link === null ? [] : [link] }];
  }
  return disk.partitions.map(({ path, number }) => ({
    device: path,
    disk,
    partitionNumber: number,
    aliases: link === null ? [] : [`${link}-part${number}`],
  }));
}

/** Logical volumes, RAIDs and the like that lie on these disks and no others. */
async function mappedDevices(disks: readonly Disk[]): Promise<Device[]> {
  const devices: Device[] = [];
  for (const name of (await listDirectory("/sys/block")).filter((entry) => /^(dm-|md)/.test(entry))) {
    const directory = `/sys/block/${name}`;
    if (Number((await readAttribute(directory, "size")) ?? 0) === 0) continue; // a RAID that is not running
    const below = await deviceToDisks(devicePath(name));
    const own = below.map((diskName) => disks.find((disk) => disk.name === diskName));
    if (own.includes(undefined)) continue;
    const mapped = await readAttribute(directory, "dm/name");
    devices.push({
      device: mapped === null ? devicePath(name) : `/dev/mapper/${mapped}`,
      disk: own.length === 1 ? (own[0] ?? null) : null,
      partitionNumber: null,
      aliases: mapped === null ? [] : [devicePath(name), logicalVolumePath(mapped)],
    });
  }
  return devices;
}

/** `vg-my--root` of device-mapper is `/dev/vg/my-root` of LVM: a hyphen inside a name is doubled. */
function logicalVolumePath(mapped: string): string {
  const [group = "", ...volume] = mapped.split(/(?<!-)-(?!-)/);
  return `/dev/${group.replaceAll("--", "-")}/${volume.join("-").replaceAll("--", "-")}`;
}

function matches(candidate: Candidate, { key, value }: Wanted): boolean {
  const { fileSystem, partitionLabel, partitionUuid } = candidate;
  switch (key) {
    case "LABEL":
      return fileSystem?.label === value;
    case "UUID":
      return fileSystem?.uuid?.toLowerCase() === value.toLowerCase();
    case "PARTLABEL":
      return partitionLabel === value;
    case "PARTUUID":
      return partitionUuid?.toLowerCase() === value.toLowerCase();
    case "path":
      return candidate.device === value || candidate.aliases.includes(value);
  }
}

function describe({ device, fileSystem, partitionLabel, partitionUuid }: Candidate): string {
  const facts = [
    fileSystem === null ? "no known file system" : fileSystem.type,
    ...(fileSystem?.label == null ? [] : [`LABEL=${fileSystem.label}`]),
    ...(fileSystem?.uuid == null ? [] : [`UUID=${fileSystem.uuid}`]),
    ...(partitionLabel === null ? [] : [`PARTLABEL=${partitionLabel}`]),
    ...(partitionUuid === null ? [] : [`PARTUUID=${partitionUuid}`]),
  ];
  return `${device}: ${facts.join(" ")}`;
}
