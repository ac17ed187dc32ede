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
import type { OpenHistory } from "./choose.ts";
import { stateOf } from "./crash-states.ts";
import { type MachineOptions, runMachine } from "./machine.ts";
import { beforePath, type Recording, variablesAt } from "./recording.ts";
import { openStateImages } from "./state-images.ts";

/** The kernel says it (at loglevel=6) before it reads the first sector. */
const diskIsFound = /virtio_blk virtio\d+: \[vda\] .* logical blocks/;
const limits = { seconds: 300, silentSeconds: 120 };
const MiB = 1 << 20;
/** One state in so many is started from reset although it need not be. */
const RESET_ONE_IN = 10;

export interface Snapshots {
  /** The memory with which the machine goes on; null: it has to be started from reset. */
  find(stateId: string, disk: string, variables: "before" | "after"): string | null;
}

/** Nothing is kept: every machine is started from reset. */
export const noSnapshots: Snapshots = { find: () => null };

/** Starts machines from the disk as it was once it was armed, and keeps their memory in `folder`. */
export async function takeSnapshots(recording: Recording, run: OpenHistory, folder: string): Promise<Snapshots> {
  const { firmware, sectorSizeBytes } = recording.scenario;
  const epoch = run.phases.indexOf("armed");
  if (epoch === -1) return noSnapshots;
  const [rolling, disk] = [join(folder, "snapshot-rolling.img"), join(folder, "snapshot.img")];
  await shell`cp --sparse=always ${beforePath(recording)} ${rolling}`;
  using images = openStateImages(run.history, run.written, rolling);
  await images.make(stateOf(run.history, `${epoch}.none`, 0), disk);
  const regions = startRegions(disk, sectorSizeBytes);
  const wanted = digestOf(disk, regions);
  const memory = (when: "before" | "after"): string => join(folder, `memory-${when}`);
  for (const when of firmware === "uefi" ? (["before", "after"] as const) : (["before"] as const)) {
    const variables = join(folder, "snapshot.variables");
    copyFileSync(variablesAt(recording, when), variables);
    const machine = { firmware, sectorSizeBytes, disk, ...(firmware === "uefi" ? { variables } : {}) };
    await saveMemory(machine, memory(when));
    rmSync(variables);
  }
  for (const path of [rolling, disk]) rmSync(path);
  return {
    find(stateId, state, variables) {
      if (Bun.hash.wyhash(`reset ${stateId}`) % BigInt(RESET_ONE_IN) === 0n) return null;
      return digestOf(state, regions) === wanted ? memory(firmware === "uefi" ? variables : "before") : null;
    },
  };
}

interface Region {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** What firmware, loader and kernel read of an armed disk: both ends, and the one partition that there is, the boot volume. */
function startRegions(disk: string, sectorSizeBytes: number): Region[] {
  const { size } = statSync(disk);
  const parsed = parsePartitionTable(
    (offsetBytes, sizeBytes) => readRange(disk, { offsetBytes, sizeBytes }),
    sectorSizeBytes,
  );
  if (parsed.kind !== "table") throw new Error("the armed disk has no partition table");
  const [volume, ...others] = parsed.table.partitions;
  if (volume === undefined || others.length > 0) throw new Error("the armed disk has not just one partition");
  return [
    { offsetBytes: 0, sizeBytes: MiB },
    { offsetBytes: volume.startBytes, sizeBytes: volume.sizeBytes },
    { offsetBytes: size - MiB, sizeBytes: MiB },
  ];
}

function digestOf(disk: string, regions: readonly Region[]): string {
  return regions.map((region) => Bun.hash.wyhash(readRange(disk, region)).toString(16)).join();
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
