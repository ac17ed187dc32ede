import { expect, test } from "bun:test";
import { type HardwareFacts, requireHardware } from "../../../src/image/manifest/hardware.ts";
import type { Manifest } from "../../../src/image/manifest/manifest.ts";

const digest = "0".repeat(64);
const manifest: Manifest = {
  schemaVersion: 1,
  imageId: "kiosk",
  version: 1,
  raw: { sizeBytes: 512, sha256: digest },
  compressed: { sizeBytes: 10, sha256: digest },
  sectorSizeBytes: 512,
};
const facts: HardwareFacts = {
  machine: { vendor: "QEMU", product: "Standard PC", board: null },
  target: { path: "/dev/sda", sizeBytes: 1000, sectorSizeBytes: 512 },
  availableBytes: 1000,
};

test("a machine that is all that the manifest asks for", () => {
  requireHardware(manifest, facts);
  const hardware = { vendors: ["ACME", "QEMU"], products: ["Standard PC"] };
  requireHardware({ ...manifest, hardware, leastDiskBytes: 1000, leastRamBytes: 1000 }, facts);
});

test.each<[string, Partial<Manifest>, string, RegExp]>([
  ["another vendor", { hardware: { vendors: ["ACME"] } }, "image", /made by ACME; this one is QEMU/],
  ["another product", { hardware: { products: ["A", "B"] } }, "image", /a A or B; this one is Standard PC/],
  ["a board that is not known", { hardware: { boards: ["X"] } }, "image", /board X; this one is unknown/],
  ["other sectors", { sectorSizeBytes: 4096 }, "image", /4096 bytes, the target disk has sectors of 512/],
  ["a disk too small by a byte", { leastDiskBytes: 1001 }, "too-small", /1001 bytes; \/dev\/sda has 1000/],
  ["memory too small by a byte", { leastRamBytes: 1001 }, "memory", /1001 bytes of memory; 1000/],
])("%s is refused", (_what, change, code, says) => {
  expect(() => requireHardware({ ...manifest, ...change }, facts)).toThrow(
    expect.objectContaining({ code, message: expect.stringMatching(says), hint: expect.any(String) }),
  );
});
