/** Runs in a virtual machine: claims a file on what is mounted of /dev/vda, and prints on one line how that went. */
import { open } from "node:fs/promises";
import { readDisks } from "../../src/disk/inventory.ts";
import { parsePartitionTable } from "../../src/disk/partition-table.ts";
import { claimPlace } from "../../src/lifeboat/places/claim.ts";
import { checkPlace } from "../../src/lifeboat/places/release.ts";

const MIB = 1 << 20;
/** The image writes everything before it. */
export const imageMiB = 20;
export const [bootMiB, bulkMiB] = [8, 50];

/** What the program prints behind `claim `. */
export interface ClaimOutcome {
  readonly regions?: readonly { readonly offsetBytes: number; readonly sizeBytes: number }[];
  readonly checked?: string | null;
  readonly failed?: string;
}

/** The bytes that are written to a region: all are of its number, from 1 on. */
export const contentOf = (index: number, sizeBytes: number): Buffer => Buffer.alloc(sizeBytes, index + 1);

async function claim(): Promise<ClaimOutcome> {
  const disk = (await readDisks()).find(({ path }) => path === "/dev/vda");
  if (disk === undefined) throw new Error("no /dev/vda");
  await using file = await open(disk.path, "r");
  const head = Buffer.alloc(MIB);
  await file.read(head, 0, head.length, 0);
  const parsed = parsePartitionTable((offset, length) => head.subarray(offset, offset + length), 512);
  if (parsed.kind !== "table") throw new Error(JSON.stringify(parsed));
  const forbidden = [{ offsetBytes: 0, sizeBytes: imageMiB * MIB }];
  const needs = { bootBytes: bootMiB * MIB, bulkBytes: bulkMiB * MIB };
  await using place = await claimPlace({ disk, table: parsed.table, forbidden, needs, only: "file" });
  const regions = [place.boot, ...place.bulk];
  for (const [index, { offsetBytes, sizeBytes }] of regions.entries()) {
    await place.writeAt(contentOf(index, sizeBytes), offsetBytes);
  }
  await place.seal();
  const checked = await checkPlace(place.undo);
  place.keep();
  return { regions, checked };
}

if (import.meta.main) {
  const outcome = await claim().catch((error: unknown) => ({ failed: String(error) }));
  process.stdout.write(`claim ${JSON.stringify(outcome)}\n`);
}
