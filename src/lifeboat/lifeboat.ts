/** An open lifeboat: its record, what is parked in it, and the image, on the disk that it was found on. */
import { type BlockDevice, openBlockDevice } from "../disk/block-device.ts";
import type { Disk } from "../disk/disk.ts";
import { ReimageError } from "../errors.ts";
import type { ByteSource } from "../image/byte-source.ts";
import type { Region } from "../image/regions.ts";
import { alignedBuffer } from "../system/libc.ts";
import { type LifeboatHeader, parseHeader } from "./header.ts";
import { bootLayout, mapBulk } from "./layout.ts";
import { packFiles, unpackFiles } from "./parcel.ts";
import { chooseRecord, encodeRecord, type LifeboatRecord, nextRecord, type Parcel } from "./record.ts";
import { digestRegions, readRegions, writeRegions } from "./region-io.ts";

export interface Lifeboat {
  readonly disk: Disk;
  readonly header: LifeboatHeader;
  /** As it was last read or written. */
  readonly record: LifeboatRecord;
  /** Writes the next record: into the older copy, flushed, and read back. A state that is further than ever begins with no attempts. */
  advance(change: Partial<Omit<LifeboatRecord, "seq" | "uuid">>): Promise<void>;
  /** Parks files of a directory in the room for the retained files, flushed and read back. @throws ReimageError `lifeboat` */
  parkRetained(directory: string, names: readonly string[]): Promise<Parcel>;
  /** Parks files in the slot that the record does not name; the caller puts what is returned into the next record. */
  parkFacts(directory: string, names: readonly string[]): Promise<NonNullable<LifeboatRecord["facts"]>>;
  /** Unpacks the facts. @throws ReimageError `lifeboat` where the disk does not hold what was parked. */
  unpackFacts(directory: string): Promise<void>;
  /** Unpacks the retained files, likewise. */
  unpackRetained(directory: string): Promise<void>;
  /** Overwrites the room for the retained files, and makes sure of it. */
  discardRetained(): Promise<void>;
  /** Overwrites all but the image, after the commit: configuration and record are of the machine as it was. */
  wipe(): Promise<void>;
  openImage(): Promise<ByteSource>;
  /** Opens the disk, uses it, and closes it again. */
  withDevice<T>(use: (device: BlockDevice) => Promise<T>): Promise<T>;
}

/** @throws ReimageError `lifeboat` where no copy of the record is whole. */
export async function openLifeboat(disk: Disk, header: LifeboatHeader): Promise<Lifeboat> {
  const withDevice = async <T>(use: (device: BlockDevice) => Promise<T>): Promise<T> => {
    await using device = await openBlockDevice(disk.path, { write: true, exclusive: false });
    await requireOurs(device, header);
    return await use(device);
  };
  const chosen = chooseRecord(await readRecords(disk, header), header.uuid);
  if (chosen === null) {
    throw new ReimageError("lifeboat", `the lifeboat on ${disk.path} has no whole record of how far it is`, {
      hint: "both copies are damaged: test the disk, and install this machine anew from outside if it does not boot",
    });
  }
  return new OpenLifeboat(disk, header, chosen.record, chosen.nextCopy, withDevice);
}

/** Names move: after a reset of its link the disk may have another one, and another disk its name. */
async function requireOurs(device: BlockDevice, { uuid, boot }: LifeboatHeader): Promise<void> {
  const found = alignedBuffer(bootLayout.headerBytes);
  await device.readDirectAt(found, boot.offsetBytes + bootLayout.header);
  if (parseHeader(found)?.uuid === uuid) return;
  throw new ReimageError("lifeboat", `${device.path} does not hold the lifeboat any more`, {
    hint: "the disk was away, or somebody writes to it: look at the kernel's messages (dmesg), and restart the machine",
  });
}

/** Not opened for writing: on the running old OS udev would look at the disk anew (src/disk/private-node.ts). */
async function readRecords({ path }: Disk, { boot }: LifeboatHeader): Promise<[Buffer, Buffer]> {
  await using device = await openBlockDevice(path, { write: false, exclusive: false });
  const [a, b] = [alignedBuffer(bootLayout.recordBytes), alignedBuffer(bootLayout.recordBytes)];
  await device.readDirectAt(a, boot.offsetBytes + bootLayout.records[0]);
  await device.readDirectAt(b, boot.offsetBytes + bootLayout.records[1]);
  return [a, b];
}

class OpenLifeboat implements Lifeboat {
  readonly disk: Disk;
  readonly header: LifeboatHeader;
  readonly withDevice: Lifeboat["withDevice"];
  #record: LifeboatRecord;
  #nextCopy: 0 | 1;

  constructor(
    disk: Disk,
    header: LifeboatHeader,
    record: LifeboatRecord,
    nextCopy: 0 | 1,
    withDevice: Lifeboat["withDevice"],
  ) {
    this.disk = disk;
    this.header = header;
    this.#record = record;
    this.#nextCopy = nextCopy;
    this.withDevice = withDevice;
  }

  get record(): LifeboatRecord {
    return this.#record;
  }

  async advance(change: Partial<LifeboatRecord>): Promise<void> {
    const record = nextRecord(this.#record, change);
    const copy = this.#nextCopy;
    await this.withDevice(async (device) => {
      const block = alignedBuffer(bootLayout.recordBytes);
      encodeRecord(record).copy(block);
      const offsetBytes = this.header.boot.offsetBytes + bootLayout.records[copy];
      await device.sync(); // everything that the record speaks of is on the disk before it
      await device.writeDirectAt(block, offsetBytes);
      await device.sync();
      const found = alignedBuffer(bootLayout.recordBytes);
      await device.readDirectAt(found, offsetBytes);
      if (!found.equals(block)) throw notAsWritten(device.path, "the record");
    });
    this.#record = record;
    this.#nextCopy = copy === 0 ? 1 : 0;
  }

  async parkRetained(directory: string, names: readonly string[]): Promise<Parcel> {
    return await this.#park(this.header.layout.retained, directory, names);
  }

  async parkFacts(directory: string, names: readonly string[]): Promise<NonNullable<LifeboatRecord["facts"]>> {
    const slot = this.#record.facts?.slot === 0 ? 1 : 0;
    return { slot, ...(await this.#park(this.header.layout.facts[slot], directory, names)) };
  }

  async unpackFacts(directory: string): Promise<void> {
    const { facts } = this.#record;
    if (facts === null) return;
    const regions = this.#map(this.header.layout.facts[facts.slot]);
    await this.withDevice((device) => unpackFiles(device, regions, facts, directory));
  }

  async unpackRetained(directory: string): Promise<void> {
    const { retained } = this.#record;
    if (retained === null) return;
    await this.withDevice((device) => unpackFiles(device, this.#map(this.header.layout.retained), retained, directory));
  }

  async discardRetained(): Promise<void> {
    await this.withDevice(async (device) => {
      const regions = this.#map(this.header.layout.retained);
      const zeros = alignedBuffer(1 << 20);
      for (const { offsetBytes, sizeBytes } of regions) {
        for (let done = 0; done < sizeBytes; done += zeros.length) {
          await device.writeDirectAt(zeros.subarray(0, Math.min(zeros.length, sizeBytes - done)), offsetBytes + done);
        }
      }
      await device.sync();
      const roomBytes = this.header.layout.retained.sizeBytes;
      for await (const piece of readRegions(device, regions, 0, roomBytes)) {
        if (!piece.equals(zeros.subarray(0, piece.length))) throw notAsWritten(device.path, "the overwritten archive");
      }
    });
  }

  async wipe(): Promise<void> {
    const { boot, layout } = this.header;
    const headBytes = bootLayout.tableEntries; // header and record
    const bulk = [...layout.facts, layout.retained].flatMap((region) => this.#map(region));
    await this.withDevice(async (device) => {
      const behind = { offsetBytes: boot.offsetBytes + headBytes, sizeBytes: boot.sizeBytes - headBytes };
      for (const { offsetBytes, sizeBytes } of [behind, ...bulk]) await device.zeroRange(offsetBytes, sizeBytes);
      await device.sync();
      await device.zeroRange(boot.offsetBytes, headBytes); // last: who is killed before finds it again, and goes on
      await device.sync();
    });
  }

  async openImage(): Promise<ByteSource> {
    const device = await openBlockDevice(this.disk.path, { write: false, exclusive: false });
    const { name, sizeBytes } = this.header.image;
    const regions = this.#map(this.header.layout.image);
    return {
      name,
      sizeBytes,
      read: (offsetBytes, partBytes) => readRegions(device, regions, offsetBytes, partBytes),
      [Symbol.asyncDispose]: () => device[Symbol.asyncDispose](),
    };
  }

  async #park(room: Region, directory: string, names: readonly string[]): Promise<Parcel> {
    return await this.withDevice(async (device) => {
      const regions = this.#map(room);
      const write = (data: Buffer, offsetBytes: number) => device.writeDirectAt(data, offsetBytes);
      const parcel = await writeRegions(write, regions, packFiles(directory, names));
      await device.sync();
      const found = await digestRegions(device, regions, parcel.sizeBytes);
      if (found !== parcel.sha256) throw notAsWritten(device.path, "what was parked");
      return parcel;
    });
  }

  #map(region: Region): Region[] {
    return mapBulk(this.header.bulk, region);
  }
}

function notAsWritten(path: string, what: string): ReimageError {
  return new ReimageError("lifeboat", `${path} does not hold ${what} as it was written to the lifeboat`, {
    hint: "the disk or its cable is faulty; replace it, do not use this disk",
  });
}
