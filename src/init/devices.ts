/** Waiting for something to appear, by looking at the thing itself and never by waiting for a fixed time. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config/schema.ts";
import { matches } from "../disk/guard.ts";
import { readDisks } from "../disk/inventory.ts";
import { ReimageError } from "../errors.ts";

const POLL_MILLISECONDS = 100;

/**
 * Looks again and again until `probe` finds something.
 * @param what names it for the error, as in "waiting for …".
 * @param listPresent what there is instead, for the error.
 * @throws ReimageError `target` after `timeoutSeconds`, naming what did not appear and what is there; what `probe` throws.
 */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T | null>,
  timeoutSeconds: number,
  listPresent: () => Promise<string> = describeDisks,
): Promise<T> {
  const deadline = performance.now() + timeoutSeconds * 1000;
  for (;;) {
    const found = await probe();
    if (found !== null) return found;
    if (performance.now() >= deadline) {
      throw new ReimageError("target", `${what} did not appear within ${timeoutSeconds} s; ${await listPresent()}`, {
        hint: "check the cable and the firmware's disk settings; a driver may be missing in the initramfs (see lsmod, dmesg)",
      });
    }
    await sleep(POLL_MILLISECONDS);
  }
}

/**
 * Waits until the disk that the configuration wants to overwrite is there; file systems are waited for by stage save.
 * @throws ReimageError `target` after `waitSeconds`, naming the disks that are there.
 */
export async function waitForTarget({ target, waitSeconds }: Config): Promise<void> {
  const wanted = target.disk;
  const what = wanted.kind === "match" ? "the disk that target.disk names" : "a disk";
  const probe = async () => {
    const disks = await readDisks();
    return disks.some((disk) => wanted.kind !== "match" || matches(disk, wanted)) ? true : null;
  };
  await waitFor(what, probe, waitSeconds);
}

async function describeDisks(): Promise<string> {
  const disks = await readDisks();
  if (disks.length === 0) return "there are no disks at all";
  const list = disks.map((disk) => `${disk.path} (${disk.model ?? "no model"}, serial ${disk.serial ?? "none"})`);
  return `the disks here are ${list.join(", ")}`;
}
