/** Root's shell on the serial console of the old kiosk. */
import type { Vm } from "../../test/support/qemu.ts";

const minutes = (count: number) => count * 60_000;

export async function logIn(vm: Vm): Promise<void> {
  await vm.waitForSerial(/login: ?$/, minutes(5));
  vm.sendSerial("root\n");
  await vm.waitForSerial(/# ?$/, minutes(2));
  // The quotes keep it from being found where the terminal echoes the command.
  vm.sendSerial('stty -echo; PS1=; echo "ready for ""commands"\n');
  await vm.waitForSerial(/ready for commands\r?\n/, minutes(1));
}

/** Types a command and waits until it has ended. @throws where it fails */
export async function typeCommand(vm: Vm, command: string): Promise<void> {
  vm.sendSerial(`${command}; echo "ended-$?"\n`);
  const [, status] = await vm.waitForSerial(/ended-(\d+)\r?\n/, minutes(20));
  if (status !== "0") throw new Error(`${command} ended with status ${status}`);
}
