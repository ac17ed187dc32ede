/** Shells for a technician on terminals beside the main console, started again whenever they are left. */
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "../system/commands.ts";

/**
 * What keeps a shell on a terminal: a loop in a session of its own, so that it survives this program. It is the first to go
 * when memory runs out.
 */
const LOOP =
  "echo 500 >/proc/self/oom_score_adj; export HOME=/root ENV=/etc/profile; cd; while :; do getty -n -i -l /bin/sh 0 $0 linux; sleep 1; done";

/**
 * Starts a shell on each of `terminals` (`tty2`); one that runs already, from before a restart, is kept.
 * No terminals at all is a hardened machine: `no-shell` in `workDir` tells the bootstrap not to open one either.
 * @returns the terminals that this machine does not have.
 * @throws ReimageError `command`
 */
export async function startShells(terminals: readonly string[], workDir: string): Promise<string[]> {
  const noShell = join(workDir, "no-shell");
  if (terminals.length === 0) writeFileSync(noShell, "");
  else rmSync(noShell, { force: true });
  const missing = terminals.filter((terminal) => !existsSync(`/dev/${terminal}`));
  for (const terminal of terminals) {
    if (missing.includes(terminal)) continue;
    const pidFile = join(workDir, `shell-${terminal}.pid`);
    // -o: running already is fine. -b -m: in the background, in a session of its own, its number in the file.
    await runCommand("busybox", [
      ...["start-stop-daemon", "-S", "-o", "-q", "-b", "-m", "-p", pidFile],
      ...["-x", "/usr/bin/busybox", "--", "sh", "-c", LOOP, terminal],
    ]);
  }
  return missing;
}
