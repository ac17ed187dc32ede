/** What a disk would boot, read from the raw file: what `make demo-power` shows after each power cut. */
import { closeSync, openSync, readSync } from "node:fs";
import { type LifeboatHeader, parseHeader } from "../../src/lifeboat/header.ts";
import { bootLayout } from "../../src/lifeboat/layout.ts";
import { chooseRecord, type LifeboatRecord } from "../../src/lifeboat/record.ts";

export interface LifeboatOnDisk {
  readonly header: LifeboatHeader;
  readonly record: LifeboatRecord;
}

/** The lifeboat that the active partition of sector 0 is the boot volume of; null where it boots something else. */
export function readBootState(file: string): LifeboatOnDisk | null {
  const fd = openSync(file, "r");
  const read = (offsetBytes: number, sizeBytes: number): Buffer => {
    const block = Buffer.alloc(sizeBytes);
    readSync(fd, block, 0, sizeBytes, offsetBytes);
    return block;
  };
  try {
    const bootOffsetBytes = activeStartBytes(read(0, 512)) - bootLayout.volume;
    if (bootOffsetBytes <= 0) return null;
    const header = parseHeader(read(bootOffsetBytes, bootLayout.headerBytes));
    if (header === null || header.boot.offsetBytes !== bootOffsetBytes) return null;
    const copy = (index: 0 | 1) => read(bootOffsetBytes + bootLayout.records[index], bootLayout.recordBytes);
    const chosen = chooseRecord([copy(0), copy(1)], header.uuid);
    return chosen === null ? null : { header, record: chosen.record };
  } finally {
    closeSync(fd);
  }
}

/** Where the active entry of an MBR begins; 0 where none is active. */
function activeStartBytes(sector: Buffer): number {
  for (let at = 446; at < 510; at += 16) {
    if (sector[at] === 0x80) return sector.readUInt32LE(at + 8) * 512;
  }
  return 0;
}

/** What the disk is, in words (pure). */
export function describeBootState(found: LifeboatOnDisk | null): string {
  if (found === null) return "the boot sector leads to no lifeboat: the installed system boots";
  const { header, record } = found;
  const place = `${Math.round(header.boot.sizeBytes / 2 ** 20)} MiB from MiB ${header.boot.offsetBytes / 2 ** 20} on`;
  return `the boot sector leads to the lifeboat (${place}); its record says: ${record.state} (starts in this state: ${record.attempts})`;
}
