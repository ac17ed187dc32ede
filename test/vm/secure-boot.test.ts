/** A machine with Secure Boot: not armed with what its firmware would refuse, and reimaged with what is signed. */
import { expect } from "bun:test";
import { join } from "node:path";
import { makeDisks } from "../../scripts/power/scenario.ts";
import { smallKernel } from "../../scripts/power/small-os/kernel.ts";
import { runTestCommand, temporaryDirectory } from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import { startVm } from "../support/qemu.ts";

const timeoutMs = 900_000;
const systemdBoot = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";

/** Signs with the key that Debian's firmware for tests trusts. */
async function sign(file: string, signed: string, folder: string): Promise<string> {
  const [key, certificate] = [join(folder, "key.pem"), "/usr/share/ovmf/PkKek-1-snakeoil.pem"];
  const locked = "/usr/share/ovmf/PkKek-1-snakeoil.key";
  await runTestCommand(["openssl", "pkey", "-in", locked, "-passin", "pass:snakeoil", "-out", key]);
  await runTestCommand(["sbsign", "--key", key, "--cert", certificate, "--output", signed, file]);
  return signed;
}

machineTest(
  "Secure Boot: refused with an unsigned loader; with a signed one the lifeboat and the new OS boot",
  async () => {
    await using temporary = await temporaryDirectory();
    const at = (name: string): string => join(temporary.dir, name);
    const loader = await sign(systemdBoot, at("loader.efi"), temporary.dir);
    const kernel = await sign((await smallKernel()).image, at("vmlinuz"), temporary.dir);
    const scenario = { system: "small", firmware: "uefi", place: "gap", sectorSizeBytes: 512, mutant: null } as const;
    const { old } = await makeDisks(at("disks"), scenario, "build/reimage", { signed: { kernel, loader } });
    await using vm = await startVm({
      ...{ firmware: "uefi", secureBoot: true, memoryMiB: 768, allowReboot: true },
      disks: [{ file: old, format: "raw", bus: "virtio", serial: "KIOSK" }],
      extraArguments: ["-smbios", "type=1,sku=arm"],
    });
    const [, identity = ""] = await vm.waitForSerial(/small-os: old identity ([0-9a-f]{64})/, timeoutMs);
    await vm.waitForSerial(/Secure Boot is on, and the built-in boot loader is not signed/, timeoutMs);
    await vm.waitForSerial(/Armed: the next start of this machine/, timeoutMs);
    await vm.waitForSerial(/reimage: success/, timeoutMs);
    const [, after] = await vm.waitForSerial(/small-os: new identity ([0-9a-f]{64})/, timeoutMs);
    expect(after).toBe(identity);
  },
);
