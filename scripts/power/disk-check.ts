/**
 * Looks at the disk of a machine that has ended: whether the system that came up is whole, and not only what it said of
 * itself. Works on a raw image, without mounting it.
 */
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { shell } from "../kiosk/cache.ts";

const MiB = 1 << 20;

/** Where a system keeps what is looked at. Plain data: it is kept with a recording. */
export interface SystemLayout {
  /** The partition with kernel and initrd, which begins after the first MiB and is never written to. */
  readonly bootMiB: number;
  readonly rootStartMiB: number;
  /** Further file systems of ext4 that the system mounts: where they begin. */
  readonly furtherStartMiB: readonly number[];
  /** A regular expression: paths of the root whose files stay as they were made. */
  readonly lasting: string;
  /** An extended attribute of a retained file. */
  readonly attribute: { readonly path: string; readonly name: string; readonly value: string };
}

/** What a whole system is, taken from its disk or image as it was made. */
export interface SystemFacts {
  readonly layout: SystemLayout;
  readonly bootDigest: string;
  /** By path: digest of every file that lasts. */
  readonly files: Readonly<Record<string, string>>;
}

export async function readSystem(disk: string, layout: SystemLayout): Promise<SystemFacts> {
  return { layout, bootDigest: digestOfRange(disk, MiB, layout.bootMiB * MiB), files: await readRoot(disk, layout) };
}

/**
 * @param disk what a machine has left behind.
 * @param known the system that came up, as it was made.
 * @returns what is wrong with it, one thing an item; nothing where it is whole.
 */
export async function checkSystem(disk: string, known: SystemFacts): Promise<string[]> {
  const wrong: string[] = [];
  const { layout } = known;
  for (const startMiB of [layout.rootStartMiB, ...layout.furtherStartMiB]) {
    const check = await shell({ nothrow: true })`e2fsck -fn ${`${disk}?offset=${startMiB * MiB}`}`;
    if (check.exitCode === 0) continue;
    const words = check.stdout.trim().split("\n").slice(0, 3).join("; ");
    wrong.push(`its file system at MiB ${startMiB} is damaged: ${words}`);
  }
  if (digestOfRange(disk, MiB, layout.bootMiB * MiB) !== known.bootDigest)
    wrong.push("its boot partition is not what it was");
  const found = await readRoot(disk, layout);
  for (const [path, digest] of Object.entries(known.files)) {
    if (found[path] === undefined) wrong.push(`${path} is gone`);
    else if (found[path] !== digest) wrong.push(`${path} is not what it was`);
  }
  const { path, name, value } = layout.attribute;
  const request = `ea_get ${path} ${name}`;
  const attribute = await shell({ nothrow: true })`debugfs -R ${request} ${rootOf(disk, layout)}`;
  if (!attribute.stdout.includes(value)) wrong.push(`${path} has lost its attribute`);
  return wrong;
}

const rootOf = (disk: string, { rootStartMiB }: SystemLayout): string => `${disk}?offset=${rootStartMiB * MiB}`;

async function readRoot(disk: string, layout: SystemLayout): Promise<Record<string, string>> {
  const folder = mkdtempSync(join(tmpdir(), "reimage-root-"));
  const lasting = new RegExp(layout.lasting);
  try {
    const tree = join(folder, "tree");
    mkdirSync(tree);
    // Owners cannot be set by an ordinary user; they are not looked at here, and the rest is dumped all the same.
    await shell({ nothrow: true })`debugfs -R ${`rdump / ${tree}`} ${rootOf(disk, layout)}`;
    const found: Record<string, string> = {};
    // Not by readdir, which ends where links lead in a circle.
    const files = (await shell`find ${tree} -type f -print0`).stdout.split("\0").filter(Boolean);
    for (const path of files) {
      const inside = path.slice(tree.length);
      if (lasting.test(inside)) found[inside] = Bun.hash.wyhash(readFileSync(path)).toString(16);
    }
    return found;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function digestOfRange(file: string, offsetBytes: number, lengthBytes: number): string {
  const fd = openSync(file, "r");
  try {
    const content = Buffer.alloc(lengthBytes);
    readSync(fd, content, 0, lengthBytes, offsetBytes);
    return Bun.hash.wyhash(content).toString(16);
  } finally {
    closeSync(fd);
  }
}
