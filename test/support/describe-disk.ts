/** A disk as text, for telling whether two runs have made the same. */
import { execFileSync } from "node:child_process";
import { closeSync, openSync, readSync } from "node:fs";
import { mountDevice, runTestCommand } from "./loop-device.ts";
import type { Kiosk } from "./open-kiosk.ts";
import type { Layout } from "./small-kiosk.ts";

/** All that matters about a disk, as text: its table, and the file systems and files in every partition. */
export async function describeDisk(kiosk: Kiosk, layout: Layout): Promise<string> {
  const facts = [await runTestCommand(["sfdisk", "--dump", kiosk.disk]), `boot code ${headOf(kiosk)}`];
  for (const number of layout === "mbr" ? [1, 2, 5, 6] : [1, 2, 3, 4]) {
    const device = kiosk.partition(number);
    await runTestCommand(["e2fsck", "-fn", device]);
    facts.push(await runTestCommand(["blkid", "-p", "-o", "value", "-s", "UUID", "-s", "LABEL", device]));
    await using mounted = await mountDevice(device, undefined, ["ro"]);
    facts.push(await runTestCommand(["sh", "-c", listing], { cwd: mounted.dir }));
  }
  return facts.join("\n").replaceAll(kiosk.disk, "DISK");
}

// What a run says about itself (the log, and boot info with the name of the device) differs from run to run.
const listing = `find . -xdev ! -path './log/*' ! -name boot-info.json ! -type d -printf '%y %m %U %G %s %l %P\\n' | sort
find . -xdev -type d -printf '%y %m %U %G %P\\n' | sort
find . -xdev ! -path './log/*' ! -name boot-info.json -type f -print0 | sort -z | xargs -0 -r sha256sum`;

/** The digest of the first MiB. */
function headOf(kiosk: Kiosk): string {
  return execFileSync("sh", ["-c", 'head -c 1048576 "$1" | sha256sum', "sh", kiosk.disk], { encoding: "utf8" });
}

/** What a device or a file holds at an offset. */
export function readAt(path: string, offsetBytes: number, lengthBytes: number): Buffer {
  const buffer = Buffer.alloc(lengthBytes);
  const fd = openSync(path, "r");
  try {
    readSync(fd, buffer, 0, lengthBytes, offsetBytes);
  } finally {
    closeSync(fd);
  }
  return buffer;
}
