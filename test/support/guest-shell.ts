/** A shell in a virtual machine, over the serial console: before reimage begins, or the rescue shell after it failed. */
import type { Vm } from "./qemu.ts";

/** What a command of the guest printed, and its status. */
export interface GuestResult {
  readonly status: number;
  readonly output: string;
}

export interface GuestShell {
  /** Runs commands of the guest's shell; stdin is /dev/null. */
  run(commands: string, timeoutMs?: number): Promise<GuestResult>;
  /** As `run`; fails, with what was printed, where the status is not 0. @returns what was printed */
  must(commands: string, timeoutMs?: number): Promise<string>;
  /** Leaves the shell, and the machine goes on. */
  leave(): void;
}

const bootMs = 180_000;
const commandMs = 180_000;

/** For `before` of a ReimageOptions: a shell on the serial console; reimage begins when it is left. */
export const shellBeforeReimage = `
stty -F /dev/ttyS0 -echo
echo shell-ready >/dev/ttyS0
sh </dev/ttyS0 2>&1 | cat >/dev/ttyS0
`;

/** Waits for the shell of `shellBeforeReimage`. */
export async function openShellBeforeReimage(vm: Vm): Promise<GuestShell> {
  await vm.waitForSerial(/shell-ready/, bootMs);
  return shellOn(vm);
}

/** Waits for the rescue shell that follows a failed run. It runs commands under a shell that shows no prompt. */
export async function openRescueShell(vm: Vm, timeoutMs: number): Promise<GuestShell> {
  await vm.waitForSerial(/reimage: shell on the main console/, timeoutMs);
  await vm.waitForSerial(/reimage:.*# /, bootMs);
  vm.sendSerial("stty -echo; sh 2>&1 | cat\n");
  return shellOn(vm);
}

function shellOn(vm: Vm): GuestShell {
  let count = 0;
  const run = async (commands: string, timeoutMs = commandMs): Promise<GuestResult> => {
    count += 1;
    // The quotes keep the marker from being found where the terminal echoes the command.
    vm.sendSerial(`echo "begin-""${count}-"; (${commands}\n) </dev/null; echo "end-""${count}- $?"\n`);
    const pattern = new RegExp(`begin-${count}-\\r?\\n([\\s\\S]*?)end-${count}- (\\d+)`);
    const [, output = "", status = ""] = await vm.waitForSerial(pattern, timeoutMs);
    return { status: Number(status), output: output.replaceAll("\r", "") };
  };
  return {
    run,
    async must(commands, timeoutMs) {
      const { status, output } = await run(commands, timeoutMs);
      if (status !== 0) throw new Error(`${commands} ended with status ${status} in the guest:\n${output}`);
      return output;
    },
    leave: () => vm.sendSerial("exit\n"),
  };
}
