/** The boot manager's entries and their order (UEFI specification, 3.1): Boot####, BootOrder, BootNext. */
import { ReimageError } from "../errors.ts";
import { formatDevicePath, isNetworkPath, type PartitionNode } from "./device-path.ts";
import type { EfiVariables } from "./efi-variables.ts";
import { formatLoadOption, type LoadOption, parseLoadOption } from "./load-option.ts";

/** A boot entry to make. */
export interface NewBootEntry {
  /** Shown in the firmware's menu. An entry that has the same description already is changed instead: nothing piles up. */
  readonly description: string;
  readonly partition: PartitionNode;
  /** The program on that partition, such as `/EFI/reimage/vmlinuz.efi`. */
  readonly file: string;
  /** What the program is handed; a kernel's command line, for example. Stored as UTF-16. */
  readonly commandLine?: string;
}

/** A boot entry with its number. */
export interface BootEntry extends LoadOption {
  readonly id: number;
}

const MAXIMUM_ID = 0xffff;

/** The variable of an entry. */
export function bootEntryName(id: number): string {
  return `Boot${id.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** All entries, by number, whether they are in the boot order or not. @throws ReimageError `lifeboat` */
export async function readBootEntries(variables: EfiVariables): Promise<BootEntry[]> {
  const ids = (await variables.names()).flatMap((name) => {
    const match = /^Boot([0-9A-F]{4})$/.exec(name);
    return match === null ? [] : [Number.parseInt(match[1] ?? "", 16)];
  });
  const entries: BootEntry[] = [];
  for (const id of ids.toSorted((a, b) => a - b)) {
    const variable = await variables.read(bootEntryName(id));
    const option = variable === null ? null : parseLoadOption(variable.data);
    if (option !== null) entries.push({ id, ...option });
  }
  return entries;
}

/**
 * Makes a boot entry, and returns its number. The firmware does not boot it yet: see prependToBootOrder and setBootNext.
 * @throws ReimageError `lifeboat`
 */
export async function createBootEntry(variables: EfiVariables, entry: NewBootEntry): Promise<number> {
  const entries = await readBootEntries(variables);
  const own = entries.find(({ description }) => description === entry.description);
  const id = own?.id ?? freeId(await variables.names());
  const commandLine = entry.commandLine === undefined ? "" : `${entry.commandLine}\0`;
  const option: LoadOption = {
    active: true,
    description: entry.description,
    devicePath: formatDevicePath(entry.partition, entry.file),
    optionalData: Buffer.from(commandLine, "utf16le"),
  };
  await variables.write(bootEntryName(id), formatLoadOption(option));
  return id;
}

/** The numbers of the entries that the firmware tries, in order. @throws ReimageError `lifeboat` */
export async function readBootOrder(variables: EfiVariables): Promise<number[]> {
  return numbers((await variables.read("BootOrder"))?.data);
}

/**
 * Makes an entry the first one that the firmware tries, wherever it was in the order; network entries that lead stay
 * before it, for a fleet may be installed by them. @throws ReimageError `lifeboat`
 */
export async function prependToBootOrder(variables: EfiVariables, id: number): Promise<void> {
  const others = (await readBootOrder(variables)).filter((other) => other !== id);
  const entries = await readBootEntries(variables);
  const network = new Set(entries.filter(({ devicePath }) => isNetworkPath(devicePath)).map((entry) => entry.id));
  const first = others.findIndex((other) => !network.has(other));
  await writeBootOrder(variables, others.toSpliced(first < 0 ? others.length : first, 0, id));
}

/** Writes the order; the one that readBootOrder gave, to undo a change. @throws ReimageError `lifeboat` */
export async function writeBootOrder(variables: EfiVariables, ids: readonly number[]): Promise<void> {
  if (ids.length === 0) return await variables.remove("BootOrder"); // a variable without content does not exist
  const data = Buffer.alloc(ids.length * 2);
  for (const [index, id] of ids.entries()) data.writeUInt16LE(id, index * 2);
  await variables.write("BootOrder", data);
}

/**
 * Makes the firmware boot an entry once: it clears BootNext before it starts the entry, so whatever happens then, the
 * boot after that one goes by the boot order. @throws ReimageError `lifeboat`
 */
export async function setBootNext(variables: EfiVariables, id: number): Promise<void> {
  const data = Buffer.alloc(2);
  data.writeUInt16LE(id);
  await variables.write("BootNext", data);
}

/** The entry that is booted once, or null. @throws ReimageError `lifeboat` */
export async function readBootNext(variables: EfiVariables): Promise<number | null> {
  return numbers((await variables.read("BootNext"))?.data)[0] ?? null;
}

/** Takes setBootNext back. @throws ReimageError `lifeboat` */
export async function clearBootNext(variables: EfiVariables): Promise<void> {
  await variables.remove("BootNext");
}

/** Removes an entry, from BootNext and the boot order first; nothing happens where it is gone. @throws ReimageError `lifeboat` */
export async function removeBootEntry(variables: EfiVariables, id: number): Promise<void> {
  if ((await readBootNext(variables)) === id) await clearBootNext(variables);
  const order = await readBootOrder(variables);
  const others = order.filter((other) => other !== id);
  if (others.length < order.length) await writeBootOrder(variables, others);
  await variables.remove(bootEntryName(id));
}

/** Counted by the names alone: what cannot be parsed is somebody's too. */
function freeId(names: readonly string[]): number {
  const taken = new Set(names);
  for (let id = 0; id <= MAXIMUM_ID; id += 1) if (!taken.has(bootEntryName(id))) return id;
  throw new ReimageError("lifeboat", "the firmware has no free boot entry", {
    hint: "remove boot entries that nobody needs, with efibootmgr",
  });
}

function numbers(data: Buffer | undefined): number[] {
  const count = Math.floor((data?.length ?? 0) / 2);
  return Array.from({ length: count }, (_, index) => data?.readUInt16LE(index * 2) ?? 0);
}
