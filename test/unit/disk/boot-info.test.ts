import { expect, test } from "bun:test";
import { type BootInfo, formatBootInfo, parseBootInfo } from "../../../src/disk/boot-info.ts";

const info: BootInfo = {
  image_id: "kiosk-7",
  image_version: 7,
  primary_disk: "/dev/sda",
  os_partition: "2",
  initrd: "/boot/initrd.img",
  cmdline: 'root=LABEL=root quiet "x"',
  kernel: "/boot/vmlinuz",
  bootloaderid: "",
  disk: { path: "/dev/sda", sizeBytes: 5e11, sectorSizeBytes: 512, serial: "S", wwn: null, model: "M" },
  run_id: "0b7c6a1e-9d43-4c6e-9a57-3f2f4f1f0e11",
  image_sha256: "a".repeat(64),
  readback_sha256: "b".repeat(64),
};

test("what is written is read back", () => {
  expect(parseBootInfo(formatBootInfo(info))).toEqual(info);
  const unknown = { ...info, image_version: null, disk: null };
  expect(parseBootInfo(formatBootInfo(unknown))).toEqual(unknown);
  expect(parseBootInfo(formatBootInfo({ ...info, image_version: 0 })).image_version).toBe(0);
});

test("absent fields are unknown, further ones are ignored", () => {
  expect(parseBootInfo('{"image_id":"a","further":[1],"kernel":null}')).toEqual({
    image_id: "a",
    image_version: null,
    primary_disk: "",
    os_partition: "",
    initrd: "",
    cmdline: "",
    kernel: "",
    bootloaderid: "",
    disk: null,
    run_id: "",
    image_sha256: "",
    readback_sha256: "",
  });
});

for (const text of [
  "",
  "{",
  "[]",
  "null",
  '{"image_id":1}',
  '{"image_version":"7"}',
  '{"image_version":-1}',
  '{"image_version":1.5}',
  '{"image_version":1e300}',
  '{"disk":1}',
  '{"disk":{}}',
  '{"disk":{"sizeBytes":-1,"sectorSizeBytes":512}}',
]) {
  test(`refused: ${text}`, () => {
    expect(() => parseBootInfo(text)).toThrow(expect.objectContaining({ code: "target", hint: expect.any(String) }));
  });
}
