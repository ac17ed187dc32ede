/**
 * Machines that are up already. Firmware, boot loader and kernel do the same for every state in which they find the same
 * bytes, and under emulation they take half of the time of a run. So the memory of one machine is kept at the moment when
 * its kernel has found the disk, before anything of reimage has looked at it; a state goes on from there where its disk
 * holds, byte for byte, all that was read until then.
 */
import { closeSync, copyFileSync, openSync, readSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parsePartitionTable } from "../../src/disk/partition-table.ts";
import { Qmp } from "../../test/support/qmp.ts";
import { shell } from "../kiosk/cache.ts";
import type { CrashState } from "./crash-states.ts";
import { type MachineOptions, runMachine } from "./machine.ts";
import type { Phase } from "./phases.ts";
import { type Recording, variablesAt } from "./recording.ts";

/** The kernel says it (at loglevel=6) before it reads the first sector. */
const diskIsFound = /virtio_blk virtio\d+: \[vda\] .* logical blocks/;
const limits = { seconds: 300, silentSeconds: 120 };
const MiB = 1 << 20;
/** One state in so many is started from reset although it need not be. */
const RESET_ONE_IN = 10;

export interface Snapshots {
  /** The memory with which the machine goes on; null: it has to be started from reset. @param disk in the state */
  find(state: CrashState, phase: Phase, disk: string, variables: "before" | "after"): Promise<string | null>;
}

/** Nothing is kept: every machine is started from reset. */
export const noSnapshots: Snapshots = { find: async () => null };

/** Of the run, those in which the machine boots its lifeboat. */
const lifeboatPhases: readonly Phase[] = ["armed", "saved", "writing", "written", "restored"];

/** Keeps the memory of machines in `folder`: of each beginning that comes a second time. */
export function keepSnapshots(recording: Recording, folder: string): Snapshots {
  const { firmware, sectorSizeBytes } = recording.scenario;
  const seen = new Set<string>();
  const memories = new Map<string, Promise<string>>();
  async function take(disk: string, when: "before" | "after", name: string): Promise<string> {
    const path = (kind: string): string => join(folder, `${name}.${kind}`);
    const [memory, copy, variables] = [path("memory"), path("img"), path("variables")];
    await shell`cp --sparse=always ${disk} ${copy}`;
    copyFileSync(variablesAt(recording, when), variables);
    const machine = { firmware, sectorSizeBytes, disk: copy, ...(firmware === "uefi" ? { variables } : {}) };
    await saveMemory(machine, memory);
    for (const used of [copy, variables]) rmSync(used);
    return memory;
  }
  return {
    async find(state, phase, disk, variables) {
      if (!lifeboatPhases.includes(phase)) return null;
      if (Bun.hash.wyhash(`reset ${state.id}`) % BigInt(RESET_ONE_IN) === 0n) return null;
      const beginning = digestOfBeginning(disk, sectorSizeBytes);
      if (beginning === null) return null;
      const name = `snapshot-${firmware === "uefi" ? variables : "bios"}-${beginning}`;
      if (!seen.has(name)) {
        seen.add(name);
        return null;
      }
      const memory = memories.get(name) ?? take(disk, variables, name);
      memories.set(name, memory);
      return await memory;
    },
  };
}

interface Region {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/**
 * A digest of what firmware, loader and kernel read of a disk that boots a lifeboat: both ends, and the one partition that
 * there is, the boot volume. Null where the disk is not like that.
 */
function digestOfBeginning(disk: string, sectorSizeBytes: number): string | null {
  const read = (offsetBytes: number, sizeBytes: number) => readRange(disk, { offsetBytes, sizeBytes });
  const parsed = parsePartitionTable(read, sectorSizeBytes);
  if (parsed.kind !== "table") return null;
  const [volume, ...others] = parsed.table.partitions;
  if (volume === undefined || others.length > 0) return null;
  const regions: readonly Region[] = [
    { offsetBytes: 0, sizeBytes: MiB },
    { offsetBytes: volume.startBytes, sizeBytes: volume.sizeBytes },
    { offsetBytes: statSync(disk).size - MiB, sizeBytes: MiB },
  ];
  const hash = new Bun.CryptoHasher("sha256");
  for (const region of regions) hash.update(readRange(disk, region));
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

/** Runs a machine until its kernel has found the disk, and writes its memory to `path`. */
async function saveMemory(machine: MachineOptions, path: string): Promise<void> {
  const monitor = `${path}.qmp`;
  const server = createServer().listen(monitor);
  const opened = new Promise<Qmp>((resolve, reject) => {
    server.once("connection", (socket) => Qmp.open(socket).then(resolve, reject));
  });
  let saving: Promise<void> | null = null;
  const isFound = (serial: string): boolean => {
    if (saving === null && diskIsFound.test(serial)) saving = opened.then((qmp) => save(qmp, path));
    return false;
  };
  try {
    await runMachine({ ...machine, monitor }, limits, isFound);
    if (saving === null) throw new Error("the machine whose memory is to be kept did not come up");
    await saving;
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
