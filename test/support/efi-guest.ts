/** Runs in a virtual machine, in reimage's own initramfs: uses the functions for boot entries on real firmware. */
import {
  clearBootNext,
  createBootEntry,
  prependToBootOrder,
  readBootEntries,
  readBootNext,
  readBootOrder,
  removeBootEntry,
  setBootNext,
  writeBootOrder,
} from "../../src/firmware/boot-entries.ts";
import { efiVariables, vendors } from "../../src/firmware/efi-variables.ts";
import { readFirmware } from "../../src/firmware/firmware.ts";

const said: Record<string, unknown> = {};
try {
  const variables = efiVariables();
  const partition = { number: 2, startLba: 2048, sectors: 81920, uuid: process.argv[2] ?? "" };
  said.firmware = await readFirmware();
  const first = await createBootEntry(variables, { description: "old", partition, file: "/EFI/wrong.efi" });
  const again = await createBootEntry(variables, { description: "old", partition, file: "/EFI/old/loader.efi" });
  const second = await createBootEntry(variables, { description: "x", partition, file: "/x.efi", commandLine: "a b" });
  said.isReused = first === again && second !== first;
  await prependToBootOrder(variables, second);
  await setBootNext(variables, second);
  said.next = (await readBootNext(variables)) === second;
  await removeBootEntry(variables, second);
  said.isRemoved =
    (await readBootNext(variables)) === null &&
    !(await readBootOrder(variables)).includes(second) &&
    (await readBootEntries(variables)).every(({ id }) => id !== second);
  await clearBootNext(variables); // twice does no harm
  await prependToBootOrder(variables, first);
  said.isFirst = (await readBootOrder(variables))[0] === first;
  // Not one of those that the kernel leaves unprotected: immutable once it is there.
  const oneShot = (text: string) => Buffer.from(`${text}\0`, "utf16le");
  await variables.write("LoaderEntryOneShot", oneShot("first-entry.conf"), { vendor: vendors.loader });
  await variables.write("LoaderEntryOneShot", oneShot("second"), { vendor: vendors.loader });
  const read = await variables.read("LoaderEntryOneShot", vendors.loader);
  said.isReplaced = read?.data.equals(oneShot("second")) === true;
  await variables.remove("LoaderEntryOneShot", vendors.loader);
  said.isGone = (await variables.read("LoaderEntryOneShot", vendors.loader)) === null;
  // The firmware may add entries for disks and network behind it; now it has this one alone.
  await writeBootOrder(variables, [first]);
} catch (error) {
  said.error = String(error);
}
process.stdout.write(`SAID ${JSON.stringify(said)}\n`);
