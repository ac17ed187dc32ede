/** Looks into the file systems of a kiosk's disk, and changes them, without mounting anything: no root is needed. */
import { chalk, echo } from "zx";
import { shell } from "../kiosk/cache.ts";
import type { DiskLayout } from "../kiosk/layouts.ts";
import { showTable } from "./screen.ts";

const MiB = 1 << 20;

/** A raw disk, and how it is divided. */
export interface KioskDisk {
  readonly file: string;
  readonly layout: DiskLayout;
}

/** debugfs(8) on one partition of the disk: reads and writes an ext4 without mounting it. */
export async function debugfs(disk: KioskDisk, holds: string, ...requests: readonly string[]): Promise<string> {
  const partition = disk.layout.partitions.find((each) => each.holds === holds);
  const fileSystem = `${disk.file}?offset=${(partition?.startMiB ?? 0) * MiB}`;
  return (await shell`printf ${`${requests.join("\n")}\n`} | debugfs -w -f - ${fileSystem}`).stdout;
}

export async function readFileIn(disk: KioskDisk, holds: string, path: string): Promise<string> {
  const text = await debugfs(disk, holds, `cat "${path}"`);
  return text.replace(/^debugfs: .*\n/gm, "").trim();
}

/** Who a system is: what the table at the end compares. */
export async function readIdentity(disk: KioskDisk): Promise<Record<string, string>> {
  const read = (path: string) => readFileIn(disk, "root", path);
  const digest = (text: string) => new Bun.CryptoHasher("sha256").update(text).digest("hex").slice(0, 20);
  const release = await read("/usr/lib/os-release");
  return {
    "operating system": /^PRETTY_NAME="(.*)"/m.exec(release)?.[1] ?? "unknown",
    "host name": await read("/etc/hostname"),
    "machine id": await read("/etc/machine-id"),
    "ssh host key": digest(await read("/etc/ssh/ssh_host_ed25519_key")),
    "device key": digest(await read("/etc/kiosk/device.key")),
    transactions: await read("/var/lib/kiosk/transaction-counter"),
    paper: await readFileIn(disk, "kiosk", "/state/paper"),
  };
}

/** Whether everything is what it was, but for the operating system (pure). */
export function isSameKiosk(before: Record<string, string>, after: Record<string, string>): boolean {
  const isSame = (name: string) => before[name] === after[name];
  return Object.keys(before).every((name) => isSame(name) === (name !== "operating system"));
}

/** Shows what changed and what survived, and the verdict; the process fails where it is not as it should be. */
export function showVerdict(before: Record<string, string>, after: Record<string, string>, file: string): void {
  showTable([
    ["", "before", "after", ""],
    ...Object.keys(before).map((name) => {
      const [old = "", now = ""] = [before[name], after[name]];
      return [name, old, now, old === now ? "kept" : "NEW"];
    }),
  ]);
  if (isSameKiosk(before, after)) {
    echo(chalk.green(`\nThe same kiosk, with a new operating system. Its disk is ${file}.`));
    return;
  }
  echo(chalk.red("\nThis is not what should have happened."));
  process.exitCode = 1;
}
