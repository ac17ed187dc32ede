import { expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Disk } from "../../../src/disk/disk.ts";
import type { Partition, PartitionTable } from "../../../src/disk/partition-table.ts";
import {
  createBootEntry,
  prependToBootOrder,
  readBootEntries,
  readBootOrder,
  writeBootOrder,
} from "../../../src/firmware/boot-entries.ts";
import { parseDevicePath } from "../../../src/firmware/device-path.ts";
import { efiVariables, vendors } from "../../../src/firmware/efi-variables.ts";
import { formatLoadOption } from "../../../src/firmware/load-option.ts";
import type { Lifeboat } from "../../../src/lifeboat/lifeboat.ts";
import type { Event } from "../../../src/report/events.ts";
import { createReporter } from "../../../src/report/reporter.ts";
import { bootEntryDescription, makeBootEntry, namableEsps } from "../../../src/stages/boot-entry.ts";
import { lookingContext } from "../../../src/stages/context.ts";
import { nobody } from "../../../src/stages/overseer.ts";
import { temporaryDirectory } from "../../support/loop-device.ts";

const MiB = 1 << 20;
const espType = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
const uuid = (digit: number): string => `9a2d3b10-2a3e-4d58-9d4c-1b2c3d4e5f6${digit}`;

function gptPartition(number: number, type: string): Partition {
  return { number, type, kind: "gpt", uuid: uuid(number), name: null, startBytes: number * MiB, sizeBytes: MiB };
}

function tableOf(type: "gpt" | "mbr", partitions: readonly Partition[], sectorSizeBytes = 512): PartitionTable {
  const diskId = type === "mbr" ? "0a1b2c3d" : uuid(0);
  return { type, sectorSizeBytes, diskId, partitions, lastUsedByteEnd: 20 * MiB };
}

const root = gptPartition(1, "0fc63daf-8483-4772-8e79-3d69d8477de4");
const esp = gptPartition(2, espType);

test("which partitions an entry can name, in sectors of the disk", () => {
  const node = { number: 2, uuid: uuid(2), startLba: 512, sectors: 256 };
  expect(namableEsps(tableOf("gpt", [gptPartition(5, espType), root, esp], 4096))).toEqual([
    node,
    { number: 5, uuid: uuid(5), startLba: 1280, sectors: 256 },
  ]);
  expect(namableEsps(tableOf("gpt", [root]))).toEqual([]);
  const mbr: Partition = { ...esp, type: "ef", kind: "primary", uuid: "0a1b2c3d-02" };
  const logical: Partition = { ...mbr, number: 5, kind: "logical" };
  expect(namableEsps(tableOf("mbr", [mbr, logical])).map(({ number }) => number)).toEqual([2]);
  expect(namableEsps({ ...tableOf("mbr", [mbr]), diskId: "00000000" })).toEqual([]);
});

interface Machine extends AsyncDisposable {
  readonly variables: ReturnType<typeof efiVariables>;
  readonly directory: string;
  /** Makes the entry; returns what was said. The disk is not there, so nobody can look for the loader. */
  make(table?: PartitionTable, lifeboat?: Lifeboat): Promise<string>;
}

async function openMachine(): Promise<Machine> {
  const temporary = await temporaryDirectory();
  const directory = join(temporary.dir, "efivars");
  const variables = efiVariables(directory);
  const said: string[] = [];
  const receive = (event: Event): void => void ("message" in event && said.push(`${event.type}: ${event.message}`));
  const reporter = createReporter([{ name: "test", receive }], 0);
  const looking = lookingContext({ workDir: temporary.dir, overseer: nobody, reporter, isLiving: false });
  const disk = { path: join(temporary.dir, "no-disk") } as Disk;
  return {
    ...{ variables, directory },
    async make(table = tableOf("gpt", [root, esp]), lifeboat?: Lifeboat) {
      said.length = 0;
      await makeBootEntry(disk, table, { ...looking, lifeboat: lifeboat ?? null, bootVariables: variables });
      return said.join("\n");
    },
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  };
}

/** A machine that boots its old OS by the entry 3. */
async function openUefiMachine(): Promise<Machine> {
  const machine = await openMachine();
  mkdirSync(machine.directory);
  const { variables } = machine;
  const partition = { number: 1, startLba: 2048, sectors: 2048, uuid: uuid(9) };
  for (const description of ["0", "1", "2"]) await createBootEntry(variables, { description, partition, file: "/x" });
  const old = await createBootEntry(variables, { description: "old", partition, file: "/EFI/old/loader.efi" });
  await prependToBootOrder(variables, old);
  return machine;
}

test("the new OS comes first, the old OS's entry stays behind it, and nothing piles up", async () => {
  await using machine = await openUefiMachine();
  const { variables } = machine;
  const before = await readBootEntries(variables);
  for (const number of [2, 4, 2]) {
    const said = await machine.make(tableOf("gpt", [root, gptPartition(number, espType)]));
    expect(said).toContain(
      `step: the firmware boots this disk by entry Boot0004 now: /EFI/BOOT/BOOTX64.EFI on partition ${number}`,
    );
    expect(await readBootOrder(variables)).toEqual([4, 3]);
    const entries = await readBootEntries(variables);
    expect(entries.slice(0, 4)).toEqual(before);
    const [, , , , own, ...others] = entries;
    if (own === undefined) throw new Error("no entry");
    expect(others).toEqual([]);
    expect(own).toMatchObject({ active: true, description: bootEntryDescription });
    const partition = { number, startLba: number * 2048, sectors: 2048, uuid: uuid(number) };
    expect(parseDevicePath(own.devicePath)).toEqual({ partition, file: "\\EFI\\BOOT\\BOOTX64.EFI" });
  }
});

test("an image without an EFI system partition gets no entry, and a warning", async () => {
  await using machine = await openUefiMachine();
  expect(await machine.make(tableOf("gpt", [root]))).toContain("warning: the image has no EFI system partition");
  expect(await readBootOrder(machine.variables)).toEqual([3]);
});

test("a machine that boots from the network first still does", async () => {
  await using machine = await openUefiMachine();
  const { variables } = machine;
  const option = (path: string) =>
    formatLoadOption({
      active: true,
      description: "PXE",
      devicePath: Buffer.from(path, "hex"),
      optionalData: Buffer.alloc(0),
    });
  // PciRoot(0)/Pci(1,0)/MAC(…), laid out by hand after the specification, 10.3.4.12; and a USB stick
  const hardware = "02010c00d041030a00000000" + "010106000001";
  await variables.write("Boot0010", option(`${hardware}030b2500${"52540012".padEnd(64, "0")}017fff0400`));
  await variables.write("Boot0011", option(`${hardware}0305060001007fff0400`));
  for (const [before, after] of [
    [
      [16, 17, 3],
      [16, 4, 17, 3],
    ],
    [
      [4, 16, 3],
      [16, 4, 3],
    ],
    [
      [17, 16],
      [4, 17, 16],
    ],
    [[16], [16, 4]],
    [[], [4]],
  ] as const) {
    await writeBootOrder(variables, before);
    await machine.make();
    expect(await readBootOrder(variables)).toEqual([...after]);
  }
});

test("firmware that may be what hangs is not asked for ever", async () => {
  await using machine = await openUefiMachine();
  const aboard = (state: string, attempts: number) => ({ record: { state, attempts } }) as Lifeboat;
  expect(await machine.make(undefined, aboard("restored", 4))).toContain("warning: the firmware gets no boot entry");
  expect(await readBootOrder(machine.variables)).toEqual([3]);
  await machine.make(undefined, aboard("written", 4));
  expect(await readBootOrder(machine.variables)).toEqual([4, 3]);
  await writeBootOrder(machine.variables, [3]);
  await machine.make(undefined, aboard("restored", 3));
  expect(await readBootOrder(machine.variables)).toEqual([4, 3]);
});

test("whatever fails is a warning", async () => {
  await using machine = await openMachine();
  expect(await machine.make()).toContain(
    "warning: the firmware has no boot entry for the new OS: efivarfs is not mounted",
  );
  mkdirSync(machine.directory);
  mkdirSync(join(machine.directory, `BootOrder-${vendors.global}`));
  expect(await machine.make()).toContain("cannot read the firmware variable BootOrder");
});
