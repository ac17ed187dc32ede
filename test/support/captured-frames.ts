/** Reads what QEMU's filter-dump has captured: classic pcap files of Ethernet. */
import { readFileSync } from "node:fs";

export interface Frame {
  /** The MAC address that sent it. */
  readonly source: string;
  /** Of its 802.1Q tag; null: it has none. */
  readonly vlanId: number | null;
  readonly kind: "arp" | "dhcp" | "ipv4" | "other";
}

const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, tagged: 0x8100 } as const;
const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;

/** The frames of a capture. The file may still grow: what is not whole yet is left out. */
export function readFrames(file: string): Frame[] {
  const bytes = readFileSync(file);
  if (bytes.readUInt32LE(0) !== 0xa1b2c3d4) throw new Error(`${file} is no capture`);
  const frames: Frame[] = [];
  let start = FILE_HEADER_BYTES;
  while (start + RECORD_HEADER_BYTES <= bytes.length) {
    const end = start + RECORD_HEADER_BYTES + bytes.readUInt32LE(start + 8);
    if (end > bytes.length) break;
    frames.push(parseFrame(bytes.subarray(start + RECORD_HEADER_BYTES, end)));
    start = end;
  }
  return frames;
}

/** An Ethernet frame, with at most one tag (IEEE 802.1Q). */
function parseFrame(frame: Buffer): Frame {
  const source = (frame.subarray(6, 12).toString("hex").match(/../g) ?? []).join(":");
  const isTagged = frame.readUInt16BE(12) === ETHERTYPE.tagged;
  const vlanId = isTagged ? frame.readUInt16BE(14) & 0xfff : null;
  const typeAt = isTagged ? 16 : 12;
  return { source, vlanId, kind: kindOf(frame.readUInt16BE(typeAt), frame.subarray(typeAt + 2)) };
}

function kindOf(type: number, packet: Buffer): Frame["kind"] {
  if (type === ETHERTYPE.arp) return "arp";
  if (type !== ETHERTYPE.ipv4) return "other";
  const headerBytes = (packet.readUInt8(0) & 0xf) * 4;
  const isUdp = packet.readUInt8(9) === 17;
  return isUdp && [67, 68].includes(packet.readUInt16BE(headerBytes)) ? "dhcp" : "ipv4"; // 67, 68: RFC 2131
}
