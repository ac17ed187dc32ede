/** An armed disk of the small systems, BIOS, with its lifeboat in a gap: made once, and copied for every run from it. */
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type LifeboatHeader, parseHeader } from "../../src/lifeboat/header.ts";
import { bootLayout } from "../../src/lifeboat/layout.ts";
import { chooseRecord, type LifeboatRecord } from "../../src/lifeboat/record.ts";
import { cached, recipeHash, shell } from "../kiosk/cache.ts";
import { readSystem, type SystemFacts } from "./disk-check.ts";
import { runMachine } from "./machine.ts";
import { type FurtherBoot, makeDisks, type Scenario } from "./scenario.ts";
import { identityOf } from "./verdict.ts";

const scenario: Scenario = { system: "small", firmware: "bios", place: "gap", sectorSizeBytes: 512, mutant: null };
/** What the disk calls itself; the lifeboat knows its disk by it. */
export const diskSerial = "SWEEP0";
const limits = { seconds: 900, silentSeconds: 300 };
const MiB = 1 << 20;

export interface Armed {
  /** Raw; to be copied. */
  readonly disk: string;
  /** Changes with the program, and with what it is started with. */
  readonly id: string;
  readonly identity: string;
  readonly old: SystemFacts;
  readonly new: SystemFacts;
  readonly header: LifeboatHeader;
}

/** Makes an armed disk, or takes it from the cache. @param name of the kind of lifeboat, for the cache: `armed-<name>`. */
export async function armDisk(name: string, program: string, further: FurtherBoot): Promise<Armed> {
  const folder = await cached(`armed-${name}`, recipe(program, further), async (partial) => {
    const disks = await makeDisks(join(partial, "disks"), scenario, program, further);
    const old = await readSystem(disks.old, disks.layouts.old);
    const image = await readSystem(disks.image, disks.layouts.new);
    const { serial } = await runMachine(
      { ...scenario, disk: disks.old, sku: "arm" },
      limits,
      (text) => /reboot: (Restarting system|Power down)/.test(text), // everything is on the disk by then
    );
    writeFileSync(join(partial, "serial.txt"), serial);
    const identity = identityOf(serial);
    if (identity === null || !serial.includes("arming ended with status 0"))
      throw new Error(`arming failed: ${serial}`);
    await shell`mv ${disks.old} ${join(partial, "armed.img")}`;
    await shell`rm -r ${join(partial, "disks")}`;
    const facts = { identity, old, new: image, header: readHeader(join(partial, "armed.img")) };
    writeFileSync(join(partial, "armed.json"), JSON.stringify(facts));
  });
  const facts = JSON.parse(readFileSync(join(folder, "armed.json"), "utf8"));
  return { disk: join(folder, "armed.img"), id: folder.slice(-12), ...facts };
}

function recipe(program: string, further: FurtherBoot): string {
  const sources = [import.meta.dirname, join(import.meta.dirname, "small-os")].flatMap((folder) =>
    readdirSync(folder)
      .filter((file) => folder.endsWith("small-os") || ["armed.ts", "scenario.ts"].includes(file))
      .map((file) => readFileSync(join(folder, file), "utf8")),
  );
  const digest = new Bun.CryptoHasher("sha256").update(readFileSync(program)).digest("hex");
  return recipeHash([digest, `${statSync("build/initramfs.img").mtimeMs}`, JSON.stringify(further), ...sources]);
}

function readHeader(disk: string): LifeboatHeader {
  for (let at = 0; at < statSync(disk).size; at += MiB) {
    const block = readAt(disk, at, bootLayout.headerBytes);
    const header = parseHeader(block);
    if (header !== null) return header;
  }
  throw new Error(`${disk} is armed, and no lifeboat is on it`);
}

/** How far a machine is, from its disk while it runs; null once the lifeboat is wiped. */
export function readRecord(disk: string, { boot, uuid }: LifeboatHeader): LifeboatRecord | null {
  const [a, b] = bootLayout.records.map((at) => readAt(disk, boot.offsetBytes + at, bootLayout.recordBytes));
  return a === undefined || b === undefined ? null : (chooseRecord([a, b], uuid)?.record ?? null);
}

function readAt(file: string, offsetBytes: number, lengthBytes: number): Buffer {
  const fd = openSync(file, "r");
  try {
    const content = Buffer.alloc(lengthBytes);
    readSync(fd, content, 0, lengthBytes, offsetBytes);
    return content;
  } finally {
    closeSync(fd);
  }
}
