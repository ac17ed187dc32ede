/** Device paths of UEFI (specification, chapter 10): which partition of which disk, and which file on it. Pure. */
import { readGuid, writeGuid } from "../disk/gpt.ts";

/** A partition as a boot entry names it. */
export interface PartitionNode {
  readonly number: number;
  readonly startLba: number;
  readonly sectors: number;
  /** PARTUUID as blkid prints it: a GUID for GPT, `<disk signature>-<number>` for MBR. */
  readonly uuid: string;
}

/** What a device path says of partition and file; null where it does not name one. */
export interface DevicePath {
  readonly partition: PartitionNode | null;
  /** With backslashes, as firmware writes it. */
  readonly file: string | null;
}

const MESSAGING = 0x03;
/** MAC address, IPv4, IPv6, URI. */
const networkNodes = [0x0b, 0x0c, 0x0d, 0x18];
const MEDIA = 0x04;
const HARD_DRIVE = 0x01;
const FILE_PATH = 0x04;
const END = 0x7f;
const HARD_DRIVE_BYTES = 42;
const FORMAT = { mbr: 1, gpt: 2 } as const;

/** Reads a device path up to its end, or up to where it makes no sense. Throws nothing. */
export function parseDevicePath(data: Buffer): DevicePath {
  let partition: PartitionNode | null = null;
  let file: string | null = null;
  for (const { type, subtype, node } of nodesOf(data)) {
    if (type === MEDIA && subtype === HARD_DRIVE) partition = parsePartition(node);
    // The parts of a path may come as a node each; every part but the first then begins or the one before ends with \.
    if (type === MEDIA && subtype === FILE_PATH) file = joinPath(file, text(node.subarray(4)));
  }
  return { partition, file };
}

/** Whether a device path leads through a network card (PXE, HTTP). Throws nothing. */
export function isNetworkPath(data: Buffer): boolean {
  return [...nodesOf(data)].some(({ type, subtype }) => type === MESSAGING && networkNodes.includes(subtype));
}

function* nodesOf(data: Buffer): Generator<{ readonly type: number; readonly subtype: number; readonly node: Buffer }> {
  for (let at = 0; at + 4 <= data.length; ) {
    const [type, subtype, sizeBytes] = [data.readUInt8(at), data.readUInt8(at + 1), data.readUInt16LE(at + 2)];
    if (type === END || sizeBytes < 4 || at + sizeBytes > data.length) return;
    yield { type, subtype, node: data.subarray(at, at + sizeBytes) };
    at += sizeBytes;
  }
}

/** The short form of a path, HD(…)/file: firmware looks for the partition on all disks. `file` may be written with slashes. */
export function formatDevicePath(partition: PartitionNode, file: string): Buffer {
  const hardDrive = Buffer.alloc(HARD_DRIVE_BYTES);
  hardDrive.writeUInt32LE(partition.number, 4);
  hardDrive.writeBigUInt64LE(BigInt(partition.startLba), 8);
  hardDrive.writeBigUInt64LE(BigInt(partition.sectors), 16);
  const mbr = /^([0-9a-f]{8})-[0-9a-f]{2,}$/i.exec(partition.uuid);
  if (mbr === null) writeGuid(hardDrive, 24, partition.uuid);
  else hardDrive.writeUInt32LE(Number.parseInt(mbr[1] ?? "", 16), 24);
  hardDrive.writeUInt8(mbr === null ? FORMAT.gpt : FORMAT.mbr, 40);
  hardDrive.writeUInt8(mbr === null ? FORMAT.gpt : FORMAT.mbr, 41); // the kind of signature, in the same numbers
  const path = Buffer.from(`${file.replaceAll("/", "\\")}\0`, "utf16le");
  return Buffer.concat([
    node(MEDIA, HARD_DRIVE, hardDrive.subarray(4)),
    node(MEDIA, FILE_PATH, path),
    node(END, 0xff, Buffer.alloc(0)),
  ]);
}

function node(type: number, subtype: number, data: Buffer): Buffer {
  const header = Buffer.from([type, subtype, 0, 0]);
  header.writeUInt16LE(4 + data.length, 2);
  return Buffer.concat([header, data]);
}

function parsePartition(node: Buffer): PartitionNode | null {
  if (node.length < HARD_DRIVE_BYTES) return null;
  const number = node.readUInt32LE(4);
  const signatureKind = node.readUInt8(41);
  if (signatureKind !== FORMAT.gpt && signatureKind !== FORMAT.mbr) return null;
  const mbr = `${node.readUInt32LE(24).toString(16).padStart(8, "0")}-${number.toString(16).padStart(2, "0")}`;
  return {
    number,
    startLba: Number(node.readBigUInt64LE(8)),
    sectors: Number(node.readBigUInt64LE(16)),
    uuid: signatureKind === FORMAT.gpt ? readGuid(node, 24) : mbr,
  };
}

function joinPath(before: string | null, part: string): string {
  if (before === null) return part;
  return `${before.replace(/\\$/, "")}\\${part.replace(/^\\/, "")}`;
}

/** UTF-16 up to the zero that ends it. */
function text(data: Buffer): string {
  return data.toString("utf16le").split("\0", 1)[0] ?? "";
}
