/**
 * Looks at the disk of a machine that has ended: whether the system that came up is whole, and not only what it said of
 * itself. Works on a raw image, without mounting it.
 */
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { shell } from "../kiosk/cache.ts";
import { bootMiB, rootStartMiB } from "./small-os/disks.ts";

const MiB = 1 << 20;
const rootAt = `?offset=${rootStartMiB * MiB}`;

/** What a whole system is, taken from its disk or image as it was made. */
export interface SystemFacts {
  /** Of the partition with kernel and initrd. */
  readonly bootDigest: string;
  /** By path: digest of every file of the root, but for what makes a machine this machine. */
  readonly files: Readonly<Record<string, string>>;
}

const identityPaths = /^\/(etc\/machine-id$|etc\/ssh(\/|$)|var\/lib\/kiosk(\/|$))/;

export async function readSystem(disk: string): Promise<SystemFacts> {
  return { bootDigest: digestOfRange(disk, MiB, bootMiB * MiB), files: await readRoot(disk) };
}

/**
 * @param disk what a machine has left behind.
 * @param known the system that came up, as it was made.
 * @returns what is wrong with it, one thing an item; nothing where it is whole.
 */
export async function checkSystem(disk: string, known: SystemFacts): Promise<string[]> {
  const wrong: string[] = [];
  const check = await shell({ nothrow: true })`e2fsck -fn ${`${disk}${rootAt}`}`;
  if (check.exitCode !== 0)
    wrong.push(`its root is damaged: ${check.stdout.trim().split("\n").slice(0, 3).join("; ")}`);
  if (digestOfRange(disk, MiB, bootMiB * MiB) !== known.bootDigest) wrong.push("its boot partition is not what it was");
  const found = await readRoot(disk);
  for (const [path, digest] of Object.entries(known.files)) {
    if (identityPaths.test(path)) continue;
    if (found[path] === undefined) wrong.push(`${path} is gone`);
    else if (found[path] !== digest) wrong.push(`${path} is not what it was`);
  }
  const attribute = await shell({
    nothrow: true,
  })`debugfs -R ${"ea_get /var/lib/kiosk/journal.db user.site"} ${`${disk}${rootAt}`}`;
  if (!attribute.stdout.includes("42")) wrong.push("/var/lib/kiosk/journal.db has lost its attribute");
  return wrong;
}

async function readRoot(disk: string): Promise<Record<string, string>> {
  const folder = mkdtempSync(join(tmpdir(), "reimage-root-"));
  try {
    const tree = join(folder, "tree");
    mkdirSync(tree);
    // Owners cannot be set by an ordinary user; they are not looked at here, and the rest is dumped all the same.
    await shell({ nothrow: true })`debugfs -R ${`rdump / ${tree}`} ${`${disk}${rootAt}`}`;
    const found: Record<string, string> = {};
    for (const entry of readdirSync(tree, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      found[path.slice(tree.length)] = Bun.hash.wyhash(readFileSync(path)).toString(16);
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
