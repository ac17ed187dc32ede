/** What became of a machine: read from its serial console. Pure. */
import type { Ending } from "./machine.ts";

export interface Verdict {
  readonly outcome: "old" | "new" | "dead";
  /** Why it is dead. */
  readonly reason: string | null;
  /** How often a system or a lifeboat came up, in order, such as `lifeboat, new`. */
  readonly boots: readonly ("old" | "new" | "lifeboat")[];
  /** Whether the old system has its swap space; null where that was not the last one. */
  readonly hasSwap: boolean | null;
}

/** The files that make a machine this machine, in one digest: what /sbin/init of the small systems prints. */
export function identityOf(serial: string): string | null {
  return /small-os: (?:old|new) identity ([0-9a-f]{64})/.exec(serial)?.[1] ?? null;
}

/** @param identity what the old system said of itself before anything happened. */
export function judgeSerial({ how, serial }: Pick<Ending, "how" | "serial">, identity: string): Verdict {
  const signs = [...serial.matchAll(/small-os: (old|new) identity ([0-9a-f]{64})|^reimage \d+\.\d+\.\d+/gm)];
  const boots = signs.map(([, system]) => (system === "old" || system === "new" ? system : "lifeboat"));
  const last = signs.at(-1);
  const system = boots.at(-1);
  const swap = /small-os: swap (\d+)/g;
  const dead = (reason: string): Verdict => ({ outcome: "dead", reason, boots, hasSwap: null });
  if (how !== "off") return dead("it did not end by itself");
  if (last === undefined || system === undefined) return dead("it switched itself off, and nothing had come up");
  if (system === "lifeboat") return dead("it switched itself off in the lifeboat");
  if (last[2] !== identity) return dead(`the ${system} system came up with another identity`);
  const rest = serial.slice(last.index);
  if (!/small-os: poweroff/.test(rest)) return dead(`the ${system} system came up, and did not end as it should`);
  if (/cannot be made read-only/.test(rest)) return dead(`the ${system} system's root could not be unmounted`);
  const swaps = [...serial.matchAll(swap)].at(-1)?.[1];
  return { outcome: system, reason: null, boots, hasSwap: system === "old" ? Number(swaps ?? 0) > 0 : null };
}
