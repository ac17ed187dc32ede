/**
 * DHCP by busybox's udhcpc, one for each interface. It stays for as long as the machine is up and renews the lease;
 * initramfs/dhcp-event applies what it is granted. It is in a session of its own, so that it outlives this program, and
 * PID 1 reaps it.
 */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ReimageError } from "../errors.ts";
import { runCommand } from "../system/commands.ts";

/** Where the leases are; initramfs/dhcp-event knows it too. */
export const networkDirectory = "/run/reimage/network";

const START_MILLISECONDS = 5000;
const START_POLL_MILLISECONDS = 20;

/** What a DHCP server granted. */
export interface Lease {
  readonly address: string;
  readonly prefixLength: number;
  readonly gateway: string | null;
  readonly nameservers: readonly string[];
  /** The DHCP server. */
  readonly server: string;
  readonly leaseSeconds: number;
}

/** Parses what initramfs/dhcp-event wrote (pure). */
export function parseLease(text: string): Lease {
  const values = new Map(text.split("\n").map((line) => [line.split("=", 1)[0] ?? "", line.replace(/^[^=]*=/, "")]));
  const value = (key: string) => values.get(key) ?? "";
  return {
    address: value("address"),
    prefixLength: Number(value("prefix")),
    gateway: value("gateway") === "" ? null : value("gateway"),
    nameservers: value("nameservers").split(" ").filter(Boolean),
    server: value("server"),
    leaseSeconds: Number(value("seconds")),
  };
}

/** The lease of an interface; null as long as no server has answered. */
export function readLease(name: string): Lease | null {
  const text = readIfThere(leasePath(name));
  return text === null ? null : parseLease(text);
}

/**
 * Starts asking on an interface that is up; where it is asked already, by an earlier process too, nothing happens.
 * @throws ReimageError `network` or `command`
 */
export async function startDhcp(name: string, wantsMtu: boolean): Promise<void> {
  if (runningPid(name) !== null) return;
  mkdirSync(networkDirectory, { recursive: true });
  rmSync(leasePath(name), { force: true }); // of one that has ended
  // In the foreground of a session of its own; three questions 3 s apart, a pause of 3 s, and again, without an end.
  const repeat = ["-t", "3", "-T", "3", "-A", "3"];
  const options = wantsMtu ? ["-O", "mtu"] : [];
  await runCommand("busybox", [
    ...["start-stop-daemon", "-S", "-q", "-b", "-m", "-p", pidPath(name), "-x", "/usr/bin/busybox", "--"],
    ...["udhcpc", "-f", "-i", name, "-s", "/usr/bin/dhcp-event", ...repeat, ...options],
  ]);
  const deadline = performance.now() + START_MILLISECONDS;
  while (runningPid(name) === null) {
    if (performance.now() > deadline) throw new ReimageError("network", `udhcpc does not stay up on ${name}`);
    await sleep(START_POLL_MILLISECONDS);
  }
}

/** Stops asking on an interface, and takes an address away that was granted in the meantime. */
export async function stopDhcp(name: string): Promise<void> {
  const pid = runningPid(name);
  if (pid === null) return;
  process.kill(pid, "SIGKILL");
  rmSync(leasePath(name), { force: true });
  rmSync(join(networkDirectory, `${name}.dhcp-resolv`), { force: true });
  await runCommand("busybox", ["ip", "addr", "flush", "dev", name]);
}

/** The udhcpc of an interface; the number in the file may by now be another process's. */
function runningPid(name: string): number | null {
  const pid = Number(readIfThere(pidPath(name)) ?? Number.NaN);
  if (!Number.isInteger(pid)) return null;
  const [, applet, ...rest] = (readIfThere(`/proc/${pid}/cmdline`) ?? "").split("\0");
  return applet === "udhcpc" && rest.includes(name) ? pid : null;
}

const leasePath = (name: string) => join(networkDirectory, `${name}.lease`);
const pidPath = (name: string) => join(networkDirectory, `${name}.pid`);

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return null;
    throw error;
  }
}
