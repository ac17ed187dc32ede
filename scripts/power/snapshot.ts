/**
 * Machines that are up already. Firmware, boot loader and kernel do the same for every state in which they find the same
 * bytes, and under emulation they take half of the time of a run. So the memory of one machine is kept at the moment when
 * its kernel finds the disk, before anything of reimage, or of a system, has looked at it; another one goes on from there where
 * its disk holds, byte for byte, all that was read until then.
 */
import { closeSync, copyFileSync, openSync, readFileSync, readSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parsePartitionTable } from "../../src/disk/partition-table.ts";
import { Qmp } from "../../test/support/qmp.ts";
import { shell } from "../kiosk/cache.ts";
import type { CrashState } from "./crash-states.ts";
import { type MachineOptions, runMachine } from "./machine.ts";

/** The kernel says it (at loglevel=6) before it reads the first sector. */
const diskIsFound = /virtio_blk virtio\d+: \[vda\] .* logical blocks/;
/** When the memory is written, and what is said only after more of the disk may have been read: then it was too late. */
const moments = [
  { now: /small-os: the driver of the disk is next/, late: diskIsFound },
  { now: diskIsFound, late: /^reimage \d/m },
] as const;
const limits = { seconds: 300, silentSeconds: 120 };
const MiB = 1 << 20;
/** One state in so many is started from reset although it need not be. */
const ALONE_ONE_IN = 10;

export interface Snapshots {
  /**
   * The memory with which a machine goes on; null: it has to be started from reset.
   * @param disk as the machine finds it
   * @param variables of the firmware, likewise; null where it has none
   */
  find(disk: string, variables: string | null): Promise<string | null>;
}

/** Whether the machine of a state is started from reset each time, although it need not be. */
export function isLeftAlone(state: CrashState): boolean {
  return Bun.hash.wyhash(`reset ${state.id}`) % BigInt(ALONE_ONE_IN) === 0n;
}

/** Keeps the memory of machines in `folder`: of each beginning that comes a second time. */
export function keepSnapshots({ firmware, sectorSizeBytes }: Machine, folder: string): Snapshots {
  const seen = new Set<string>();
  const memories = new Map<string, Promise<string | null>>();
  async function take(disk: string, variables: string | null, name: string): Promise<string | null> {
    const path = (kind: string): string => join(folder, `${name}.${kind}`);
    const [memory, copy, own] = [path("memory"), path("img"), path("variables")];
    await shell`cp --sparse=always ${disk} ${copy}`;
    if (variables !== null) copyFileSync(variables, own);
    const machine = { firmware, sectorSizeBytes, disk: copy, ...(variables === null ? {} : { variables: own }) };
    const isInTime = await saveMemory(machine, memory);
    for (const used of [copy, own]) rmSync(used, { force: true });
    return isInTime ? memory : null;
  }
  return {
    async find(disk, variables) {
      const beginning = digestOfBeginning(disk, variables, sectorSizeBytes);
      if (beginning === null) return null;
      const name = `snapshot-${beginning}`;
      if (!seen.has(name)) {
        seen.add(name);
        return null;
      }
      const taking = memories.get(name) ?? take(disk, variables, name);
      memories.set(name, taking);
      const memory = await taking;
      if (memory === null) memories.delete(name); // the next one tries again
      return memory;
    },
  };
}

type Machine = Pick<MachineOptions, "firmware" | "sectorSizeBytes">;

interface Region {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/**
 * A digest of what firmware, loader and kernel read: the variables, both ends of the disk, and its first partition, which is
 * the boot volume of all that may be on it. In the others firmware looks for a FAT and finds none. Null where there is no
 * table, or no partition.
 */
function digestOfBeginning(disk: string, variables: string | null, sectorSizeBytes: number): string | null {
  const read = (offsetBytes: number, sizeBytes: number) => readRange(disk, { offsetBytes, sizeBytes });
  const parsed = parsePartitionTable(read, sectorSizeBytes);
  const volume = parsed.kind === "table" ? parsed.table.partitions[0] : undefined;
  if (volume === undefined) return null;
  const regions: readonly Region[] = [
    { offsetBytes: 0, sizeBytes: MiB },
    { offsetBytes: volume.startBytes, sizeBytes: volume.sizeBytes },
    { offsetBytes: statSync(disk).size - MiB, sizeBytes: MiB },
  ];
  const hash = new Bun.CryptoHasher("sha256");
  for (const region of regions) hash.update(readRange(disk, region));
  if (variables !== null) hash.update(readFileSync(variables));
  return hash.digest("hex").slice(0, 16);
}

function readRange(file: string, { offsetBytes, sizeBytes }: Region): Buffer {
  const fd = openSync(file, "r");
  try {
    const content = Buffer.alloc(sizeBytes);
    readSync(fd, content, 0, sizeBytes, offsetBytes);
    return content;
  } finally {
    closeSync(fd);
  }
}

/**
 * Runs a machine until its kernel finds the disk, and writes its memory to `path`.
 * @returns false where this computer was too slow: the machine had gone on, and what it knows may be of this disk alone.
 */
async function saveMemory(machine: MachineOptions, path: string): Promise<boolean> {
  const monitor = `${path}.qmp`;
  const server = createServer().listen(monitor);
  const opened = new Promise<Qmp>((resolve, reject) => {
    server.once("connection", (socket) => Qmp.open(socket).then(resolve, reject));
  });
  let moment: (typeof moments)[number] | undefined;
  let saving = Promise.resolve();
  const look = (said: string): boolean => {
    if (moment !== undefined) return false;
    moment = moments.find(({ now }) => now.test(said));
    if (moment !== undefined) saving = opened.then((qmp) => save(qmp, path));
    return false;
  };
  try {
    const { serial } = await runMachine({ ...machine, monitor }, limits, look);
    if (moment === undefined) throw new Error("the machine whose memory is to be kept did not come up");
    await saving;
    return !moment.late.test(serial);
  } finally {
    server.close();
    rmSync(monitor, { force: true });
  }
}

async function save(qmp: Qmp, path: string): Promise<void> {
  await qmp.execute("stop");
  await qmp.execute("migrate-set-parameters", { "max-bandwidth": 1e12 });
  await qmp.execute("migrate", { uri: `exec:cat >${path}` });
  for (;;) {
    const { status } = (await qmp.execute("query-migrate")) as { status?: string };
    if (status === "completed") break;
    if (status === "failed") throw new Error("QEMU could not write the memory of the machine");
    await sleep(20); // a poll: there is nothing to wait for but the answer
  }
  await qmp.execute("quit").catch(() => {}); // it may be gone before it answers
}
