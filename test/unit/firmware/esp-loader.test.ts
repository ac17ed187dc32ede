import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { findEspLoader } from "../../../src/firmware/esp-loader.ts";
import { temporaryDirectory } from "../../support/loop-device.ts";

async function loaderAmong(...files: readonly string[]): Promise<string | null> {
  await using temporary = await temporaryDirectory();
  for (const file of files) {
    mkdirSync(join(temporary.dir, dirname(file)), { recursive: true });
    writeFileSync(join(temporary.dir, file), "");
  }
  return await findEspLoader(temporary.dir);
}

test("what firmware starts by itself comes first, whatever its capitals", async () => {
  expect(await loaderAmong("EFI/debian/shimx64.efi", "EFI/BOOT/BOOTX64.EFI")).toBe("/EFI/BOOT/BOOTX64.EFI");
  expect(await loaderAmong("efi/Boot/bootx64.efi")).toBe("/EFI/BOOT/BOOTX64.EFI");
});

test("else the one loader that an installer has made", async () => {
  const debian = ["EFI/debian/grubx64.efi", "EFI/debian/shimx64.efi", "EFI/BOOT/fbx64.efi"];
  expect(await loaderAmong(...debian)).toBe("/EFI/debian/shimx64.efi");
  expect(await loaderAmong("EFI/fedora/grubx64.efi", "EFI/systemd/systemd-bootx64.efi")).toBe(
    "/EFI/fedora/grubx64.efi",
  );
  expect(await loaderAmong(...debian, "EFI/other/grubx64.efi")).toBe("/EFI/debian/shimx64.efi");
  expect(await loaderAmong(...debian, "EFI/ubuntu/shimx64.efi")).toBeNull(); // nobody can say which
});

test("none", async () => {
  expect(await loaderAmong("vmlinuz")).toBeNull();
  expect(await loaderAmong("EFI/BOOT/BOOTIA32.EFI", "EFI/README", "EFI/tools/shell.efi")).toBeNull();
});
