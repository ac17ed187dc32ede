/** An old file system whose power was cut: what its programs were told was written is in its journal. */
import { expect, test } from "bun:test";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Mount, mountReadOnly, mountRecovered } from "../../src/disk/mounts.ts";
import { attachLoopDevice, runTestCommand, temporaryDirectory } from "../support/loop-device.ts";
import { makeMicroKiosk, microIdentity } from "../support/micro-kiosk.ts";

const identity = "var/lib/kiosk/identity";

async function readIdentity(mount: Promise<Mount>): Promise<string> {
  await using mounted = await mount;
  return readFileSync(join(mounted.directory, identity), "utf8");
}

test("its journal is replayed where that is wanted, as often as it is mounted, and nowhere else", async () => {
  await using temporary = await temporaryDirectory();
  const kiosk = await makeMicroKiosk(temporary.dir, "mbr");
  const directory = join(temporary.dir, "mounted");
  mkdirSync(directory);
  const loop = await attachLoopDevice(kiosk.oldRoot);
  try {
    expect(await readIdentity(mountReadOnly(loop, directory))).toBe(microIdentity);
    const written = await readIdentity(mountRecovered(loop, directory));
    expect(written).not.toBe(microIdentity);
    expect(await readIdentity(mountRecovered(loop, directory))).toBe(written);
    expect(await readIdentity(mountReadOnly(loop, directory))).toBe(written);
  } finally {
    await runTestCommand(["losetup", "--detach", loop]);
  }
});
