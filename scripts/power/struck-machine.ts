/** A machine that boots its lifeboat and is hit again and again while it runs. */
import { setTimeout as sleep } from "node:timers/promises";
import type { LifeboatState } from "../../src/lifeboat/record.ts";
import { startVm, type Vm } from "../../test/support/qemu.ts";
import { type Armed, diskSerial, readRecord } from "./armed.ts";
import type { Ending } from "./machine.ts";
import type { FurtherBoot } from "./scenario.ts";
import { hasCome, type Means, onceWiped, type Strike, type Timeline, timelineOf } from "./strikes.ts";

/** Listens on the serial console, and does what it is told there. Nothing that runs out hits it. */
const agent = `#!/bin/sh
export PATH=/usr/bin
until [ -e /proc/self/oom_score_adj ] && [ -c /dev/ttyS0 ] && [ -d /run/reimage ]; do busybox sleep 0.2; done
echo -1000 >/proc/self/oom_score_adj
while :; do
    while read -r word; do
        case $word in
            kill) kill -9 $(pidof reimage) ;;
            hog) # as much as there is, and some of what the program has; then it is given back
                available=$(sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo)
                dd if=/dev/zero of=/dev/null bs=$((available / 1024 + 48))M count=1
                ;;
        esac 2>/dev/null
    done </dev/ttyS0
done
`;

/** The lifeboat of a machine that can be hit. The rest of its initramfs is as it is. */
export const strikable: FurtherBoot = {
  append: "panic=1 sysrq_always_enabled rdinit=/test-init",
  files: {
    "test-init": {
      executable: `#!/usr/bin/busybox sh
/usr/bin/busybox mknod /dev/null c 1 3 # the shell opens it for what runs beside
/usr/bin/busybox setsid /test-agent & # in a session of its own: what is in that of PID 1 is the program's to clear away
exec /init
`,
    },
    "test-agent": { executable: agent },
  },
};

/** A strike that was made. */
export interface Struck extends Strike {
  /** What the record said at that instant; of a hog, when it had hit. */
  readonly state: LifeboatState;
  /** Whether the program had begun, since its machine or it itself was started. */
  readonly isRunning: boolean;
  /** What it hit: the name of a process, or the kernel; null: nothing. */
  readonly hit: string | null;
}

export interface StruckRun extends Pick<Ending, "how" | "serial" | "seconds"> {
  readonly struck: readonly Struck[];
  readonly timeline: Timeline;
}

const limitSeconds = 1800;
/** A machine that has said nothing for so long is dead. It waits for a disk for 60 s. */
const silentMs = 180_000;
const confirmMs: Readonly<Record<Means, number>> = { kill: 10_000, oom: 10_000, hog: 30_000, panic: 10_000 };
/** initramfs/init waits a second before it starts the program again: there is nothing to hit meanwhile. */
const pauseMs = 1200;
const pollMs = 10;

/** What shows that a strike has hit, and what it hit. */
const signs: Readonly<Record<Means, RegExp>> = {
  kill: /the program ended with status 137/,
  oom: /Out of memory: Killed process \d+ \(([^)]+)\)/,
  hog: /Out of memory: Killed process \d+ \(([^)]+)\)|Kernel panic - not syncing: System is deadlocked on memory/,
  panic: /Kernel panic - not syncing: sysrq triggered crash/,
};

/** Boots a copy of an armed disk, which the machine changes, and makes the strikes until the machine ends. */
export async function runStruck(armed: Armed, disk: string, strikes: readonly Strike[]): Promise<StruckRun> {
  const start = performance.now();
  const received: { atMs: number; text: string }[] = [];
  let said = "";
  await using vm = await startVm({
    ...{ firmware: "bios", memoryMiB: 512, allowReboot: true },
    disks: [{ file: disk, format: "raw", bus: "virtio", serial: diskSerial }],
    onSerial: (text) => {
      said += text;
      received.push({ atMs: performance.now() - start, text: said });
    },
  });
  const end = (): void => void process.kill(vm.pid, "SIGKILL");
  process.once("exit", end); // whoever stops this program stops its machine
  const struck: Struck[] = [];
  const isOver = () => /small-os: (old|new) identity/.test(vm.serialText());
  const until = async (condition: () => boolean, limitMs: number): Promise<boolean> => {
    for (const end = performance.now() + limitMs; performance.now() < end; await sleep(pollMs)) {
      if (condition()) return true;
      if (isOver()) return false;
    }
    return false;
  };
  let from = 0; // what was said before is of before the last strike
  for (const strike of strikes) {
    const mark = from === 0 && strike.means !== "panic" ? Math.max(strike.mark, 1) : strike.mark;
    const hasReached = () =>
      mark === onceWiped ? readRecord(disk, armed.header) === null : hasCome(vm.serialText().slice(from), mark);
    if (!(await until(hasReached, limitSeconds * 1000))) break;
    await sleep(strike.delayMs + (mark === 0 && strike.means !== "panic" ? pauseMs : 0));
    if (isOver()) break;
    const at = vm.serialText().length;
    const readState = () => readRecord(disk, armed.header)?.state ?? "committed";
    let state = readState();
    const isRunning = /^reimage \d/m.test(vm.serialText().slice(from));
    await make(strike.means, vm);
    let hit: string | null = null;
    const confirmed = () => {
      const sign = signs[strike.means].exec(vm.serialText().slice(at));
      if (sign !== null) hit = sign[1] ?? (strike.means === "kill" ? "reimage" : "the kernel");
      return hit !== null;
    };
    const isHit = await until(confirmed, confirmMs[strike.means]);
    if (strike.means === "hog") state = readState(); // memory takes a while to run out
    // Until it is seen to have ended, that end would be taken for the next strike's.
    if (hit === "reimage") await until(() => signs.kill.test(vm.serialText().slice(at)), confirmMs.kill);
    if (isHit) from = vm.serialText().length;
    struck.push({ ...strike, state, isRunning, hit });
  }
  let how: Ending["how"] | null = null;
  const exited = vm.exited.then((): Ending["how"] => "off");
  while (how === null) {
    const lengthBefore = vm.serialText().length;
    how = await Promise.race([exited, sleep(silentMs, null, { ref: false })]);
    if (how === null && vm.serialText().length === lengthBefore) how = "silence";
    if (how === null && performance.now() - start > limitSeconds * 1000) how = "time";
  }
  process.off("exit", end);
  const seconds = (performance.now() - start) / 1000;
  return { how, serial: vm.serialText(), seconds, struck, timeline: timelineOf(received) };
}

/** A break on the serial line and a letter is the system request key (Documentation/admin-guide/sysrq.rst). */
async function make(means: Means, vm: Vm): Promise<void> {
  if (means === "kill" || means === "hog") return vm.sendSerial(`${means}\n`);
  await vm.qmp("chardev-send-break", { id: "serial" });
  vm.sendSerial(means === "oom" ? "f" : "c");
}
