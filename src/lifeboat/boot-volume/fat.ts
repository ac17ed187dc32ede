/**
 * A FAT file system, laid out: every file and directory in one piece, and the same bytes for the same request. Of the npm
 * packages none does that: js-fatfs and fatfs write to what they keep whole in memory, the others only read. Pure.
 */
import { ReimageError } from "../../errors.ts";
import { reservedSectors, type VolumeName } from "./fat-boot-sector.ts";
import { chooseGeometry, type FatGeometry, type FatType } from "./fat-geometry.ts";
import { DIRECTORY_ENTRY_BYTES, entryCount, type FatName, fatNames, longNameEntries } from "./fat-names.ts";

export interface FatFile {
  /** From the root, with "/". Directories come by themselves. */
  readonly path: string;
  readonly sizeBytes: number;
  /** See `attribute`. */
  readonly attributes?: number;
}

export const attribute = { readOnly: 1, hidden: 2, system: 4, label: 8, directory: 16, archive: 32 } as const;

export interface FatRequest extends VolumeName {
  readonly sectorSizeBytes: 512 | 4096;
  /** In the order in which they shall lie. */
  readonly files: readonly FatFile[];
}

/** Where everything lies. What lies between the files, and after them, is zeros. */
export interface FatLayout {
  readonly geometry: FatGeometry;
  /** From the first byte to the first file: boot sectors, tables and directories. */
  readonly metadata: Buffer;
  readonly files: readonly { readonly path: string; readonly sizeBytes: number; readonly offsetBytes: number }[];
}

interface Directory {
  readonly children: Map<string, Directory | FatFile>;
  /** The root has the label, the others themselves and their parents. */
  readonly isRoot: boolean;
}

const FIRST_CLUSTER = 2;
const MIDNIGHT_1980 = 0x0021; // the first day there is: a clock would make each file system another one

/** Lays out a file system. Throws ReimageError for names that FAT cannot hold, and for more than it can hold. */
export function planFat(request: FatRequest): FatLayout {
  const root: Directory = { children: new Map(), isRoot: true };
  for (const file of request.files) place(root, file);
  const directories = [root, ...directoriesBelow(root)];
  const geometry = chooseGeometry(request.sectorSizeBytes, (clusterBytes, type) => {
    const sizes = [
      ...inClusters(directories, type).map(directoryBytes),
      ...request.files.map((file) => file.sizeBytes),
    ];
    return sizes.reduce((sum, sizeBytes) => sum + Math.ceil(sizeBytes / clusterBytes), 0);
  });
  const clusters = assignClusters(geometry, inClusters(directories, geometry.type), request.files);
  const freeClusters = geometry.clusterCount - (clusters.next - FIRST_CLUSTER);
  const offsetOf = (cluster: number) =>
    geometry.dataOffsetBytes + (cluster - FIRST_CLUSTER) * geometry.clusterSizeBytes;
  const metadata = Buffer.alloc(offsetOf(clusters.firstFile));
  reservedSectors(geometry, request, freeClusters, clusters.next).copy(metadata);
  const tableBytes = geometry.sectorsPerFat * geometry.sectorSizeBytes;
  const tablesOffsetBytes = geometry.reservedSectors * geometry.sectorSizeBytes;
  const table = allocationTable(geometry, clusters.chains, tableBytes);
  for (const copy of [0, 1]) table.copy(metadata, tablesOffsetBytes + copy * tableBytes);
  for (const directory of directories) {
    const cluster = clusters.first.get(directory);
    const offset = cluster === undefined ? tablesOffsetBytes + 2 * tableBytes : offsetOf(cluster);
    directoryEntries(directory, request.label, clusters.first, parentOf(directories, directory)).copy(metadata, offset);
  }
  return {
    geometry,
    metadata,
    files: request.files.map((file) => ({ ...file, offsetBytes: offsetOf(clusters.first.get(file) ?? clusters.next) })),
  };
}

/** Puts a file into the tree. A directory that is there under other capitals is the same one. */
function place(root: Directory, file: FatFile): void {
  const names = file.path.split("/").filter((name) => name !== "");
  const last = names.pop() ?? "";
  let directory = root;
  for (const name of names) {
    const known = childOf(directory, name) ?? { children: new Map(), isRoot: false };
    if (!("children" in known)) throw new ReimageError("lifeboat", `${file.path} would lie in the file ${known.path}`);
    if (childOf(directory, name) === undefined) directory.children.set(name, known);
    directory = known;
  }
  if (childOf(directory, last) !== undefined) {
    throw new ReimageError("lifeboat", `the FAT file system would have two files ${file.path}`);
  }
  directory.children.set(last, file);
}

/** FAT knows no difference between capitals and small letters. */
function childOf({ children }: Directory, name: string): Directory | FatFile | undefined {
  return [...children].find(([each]) => each.toUpperCase() === name.toUpperCase())?.[1];
}

const subdirectories = (directory: Directory) => [...directory.children.values()].filter((each) => "children" in each);

function directoriesBelow(directory: Directory): Directory[] {
  return subdirectories(directory).flatMap((each) => [each, ...directoriesBelow(each)]);
}

/** FAT16 has its root directory before the clusters. */
const inClusters = (directories: readonly Directory[], type: FatType) =>
  directories.filter((directory) => type === "FAT32" || !directory.isRoot);

const parentOf = (directories: readonly Directory[], directory: Directory) =>
  directories.find((each) => subdirectories(each).includes(directory));

const namesIn = ({ children }: Directory): FatName[] => fatNames([...children.keys()]);

function directoryBytes(directory: Directory): number {
  const own = directory.isRoot ? 1 : 2;
  return namesIn(directory).reduce((sum, name) => sum + entryCount(name), own) * DIRECTORY_ENTRY_BYTES;
}

interface Clusters {
  /** Of each file and directory that has any. */
  readonly first: ReadonlyMap<Directory | FatFile, number>;
  readonly chains: readonly { readonly first: number; readonly count: number }[];
  readonly firstFile: number;
  readonly next: number;
}

function assignClusters(geometry: FatGeometry, directories: readonly Directory[], files: readonly FatFile[]): Clusters {
  const first = new Map<Directory | FatFile, number>();
  const chains: { first: number; count: number }[] = [];
  let next = FIRST_CLUSTER;
  const take = (what: Directory | FatFile, sizeBytes: number) => {
    const count = Math.ceil(sizeBytes / geometry.clusterSizeBytes);
    if (count === 0) return; // an empty file has none
    first.set(what, next);
    chains.push({ first: next, count });
    next += count;
  };
  for (const directory of directories) take(directory, directoryBytes(directory));
  const firstFile = next;
  for (const file of files) take(file, file.sizeBytes);
  return { first, chains, firstFile, next };
}

/** Each cluster names the next one of its file; the last one says that it is the last. */
function allocationTable(geometry: FatGeometry, chains: Clusters["chains"], sizeBytes: number): Buffer {
  const table = Buffer.alloc(sizeBytes);
  const set = (cluster: number, value: number) =>
    geometry.type === "FAT32"
      ? table.writeUInt32LE(value & 0x0fffffff, cluster * 4)
      : table.writeUInt16LE(value & 0xffff, cluster * 2);
  set(0, 0x0ffffff8); // as in the boot sector: a fixed disk
  set(1, 0x0fffffff); // cleanly unmounted, no error
  for (const { first, count } of chains) {
    for (let index = 0; index < count; index += 1)
      set(first + index, index + 1 === count ? 0x0fffffff : first + index + 1);
  }
  return table;
}

function directoryEntries(
  directory: Directory,
  label: string,
  first: Clusters["first"],
  parent: Directory | undefined,
): Buffer {
  const entries: Buffer[] = [];
  if (directory.isRoot) entries.push(shortEntry(label.padEnd(11), attribute.label, 0, 0));
  else {
    entries.push(shortEntry(".".padEnd(11), attribute.directory, first.get(directory) ?? 0, 0));
    // The root is cluster 0 here, even where it has one.
    const above = parent === undefined || parent.isRoot ? 0 : (first.get(parent) ?? 0);
    entries.push(shortEntry("..".padEnd(11), attribute.directory, above, 0));
  }
  const children = [...directory.children.values()];
  for (const [index, name] of namesIn(directory).entries()) {
    const child = children[index];
    if (child === undefined) continue;
    const isDirectory = "children" in child;
    const attributes = isDirectory ? attribute.directory : (child.attributes ?? attribute.archive);
    const sizeBytes = isDirectory ? 0 : child.sizeBytes;
    entries.push(longNameEntries(name), shortEntry(name.short, attributes, first.get(child) ?? 0, sizeBytes));
  }
  return Buffer.concat(entries);
}

function shortEntry(short: string, attributes: number, cluster: number, sizeBytes: number): Buffer {
  const entry = Buffer.alloc(DIRECTORY_ENTRY_BYTES);
  entry.write(short, 0, "latin1");
  entry.writeUInt8(attributes, 11);
  for (const offset of [16, 18, 24]) entry.writeUInt16LE(MIDNIGHT_1980, offset); // made, read, written
  entry.writeUInt16LE(cluster >> 16, 20);
  entry.writeUInt16LE(cluster & 0xffff, 26);
  entry.writeUInt32LE(sizeBytes, 28);
  return entry;
}
