/** Loads the drivers of the hardware that is there: what the kernel's devices ask for by their modalias. */
import { readdir, readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { hasTool, runCommand } from "../system/commands.ts";

/** Modules that no device asks for. */
const ALWAYS = [
  "dm_mod", // an old root on LVM; the lvm command expects it
];

/** modprobe runs beside each other, one on each core; more than four bring nothing. */
const PARALLEL = Math.min(4, availableParallelism());

/**
 * Every modalias below a directory of sysfs, each once. Devices that go away meanwhile are no error. They stand in `uevent`,
 * where udev takes them from too: an SD card has no `modalias` of its own.
 */
export async function readModaliases(directory = "/sys/devices"): Promise<Set<string>> {
  const aliases = new Set<string>();
  async function visit(current: string): Promise<void> {
    const entries = await readdir(current, { withFileTypes: true }).catch(ignoreGone);
    await Promise.all(
      (entries ?? []).map(async (entry) => {
        const path = join(current, entry.name);
        if (entry.isDirectory()) await visit(path); // sysfs links are not followed: they lead to other devices
        if (entry.name !== "uevent") return;
        const alias = /^MODALIAS=(.+)$/m.exec((await readFile(path, "utf8").catch(ignoreGone)) ?? "")?.[1];
        if (alias !== undefined) aliases.add(alias);
      }),
    );
  }
  await visit(directory);
  return aliases;
}

function ignoreGone(error: NodeJS.ErrnoException): null {
  if (["ENOENT", "ENODEV", "ENXIO", "EIO", "ENOTDIR"].includes(error.code ?? "")) return null;
  throw error;
}

/** Deals `items` into at most `count` hands of nearly equal size (pure). */
export function deal<T>(items: readonly T[], count: number): T[][] {
  const hands = Array.from({ length: Math.min(count, items.length) }, (): T[] => []);
  for (const [i, item] of items.entries()) hands[i % hands.length]?.push(item);
  return hands;
}

/** Loads modules by name or modalias. @returns what modprobe complained about; an alias without a module is no complaint. */
async function load(names: readonly string[]): Promise<string[]> {
  const results = await Promise.all(
    deal(names, PARALLEL).map((hand) =>
      runCommand("modprobe", ["--all", "--quiet", "--use-blacklist", "--", ...hand], { accept: [1] }),
    ),
  );
  return results.flatMap((result) => result.stderr.split("\n")).filter((line) => line !== "");
}

/**
 * Loads drivers until no new device asks for one: a bus driver brings devices, which ask for theirs. When it returns, the
 * disks of internal controllers are known, because loading a driver waits for its probes; USB disks come when they like.
 * @param seen the aliases that were dealt with; grows.
 * @returns what modprobe complained about.
 */
export async function loadModules(seen: Set<string>): Promise<string[]> {
  if (!hasTool("modprobe")) return ["there is no modprobe: only drivers built into the kernel work"];
  const complaints = seen.size === 0 ? await load(ALWAYS) : [];
  for (;;) {
    const fresh = [...(await readModaliases())].filter((alias) => !seen.has(alias));
    if (fresh.length === 0) return complaints;
    for (const alias of fresh) seen.add(alias);
    complaints.push(...(await load(fresh)));
  }
}

/** Goes on loading drivers for what appears later (USB disks, a technician's keyboard) until it is disposed. */
export function watchForHardware(seen: Set<string>, onComplaint: (text: string) => void): AsyncDisposable {
  const pollMilliseconds = 1000;
  const stop = new AbortController();
  const ended = (async () => {
    while (!stop.signal.aborted) {
      try {
        for (const complaint of await loadModules(seen)) onComplaint(complaint);
      } catch (error) {
        onComplaint(`looking for new hardware: ${String(error)}`); // tried again; the run does not depend on it
      }
      await sleep(pollMilliseconds, undefined, { signal: stop.signal, ref: false }).catch(() => {}); // aborted
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await ended;
    },
  };
}
