import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deal, readModaliases } from "../../../src/init/modules.ts";

let sys: string;
beforeEach(() => {
  sys = mkdtempSync(join(tmpdir(), "reimage-sys-"));
});
afterEach(() => rmSync(sys, { recursive: true, force: true }));

function device(path: string, modalias?: string): void {
  mkdirSync(join(sys, path), { recursive: true });
  const alias = modalias === undefined ? "" : `MODALIAS=${modalias}\n`;
  writeFileSync(join(sys, path, "uevent"), `DRIVER=some\n${alias}OF_NAME=it\n`);
}

describe("readModaliases", () => {
  test("finds devices at any depth, each alias once, and does not follow links", async () => {
    device("pci0000:00/0000:00:04.0", "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00");
    device("pci0000:00/0000:00:04.0/virtio1", "virtio:d00000002v00001AF4");
    device("pci0000:00/0000:00:05.0/virtio2", "virtio:d00000002v00001AF4");
    device("platform/reg-dummy");
    device("pci0000:00/0000:00:06.0/mmc_host/mmc0/mmc0:4567", "mmc:block");
    symlinkSync("../..", join(sys, "pci0000:00/0000:00:04.0/subsystem"));
    expect([...(await readModaliases(sys))].sort()).toEqual([
      "mmc:block",
      "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00",
      "virtio:d00000002v00001AF4",
    ]);
  });

  test("a device that has gone is no error", async () => {
    expect(await readModaliases(join(sys, "gone"))).toEqual(new Set());
  });
});

describe("deal", () => {
  test("loses nothing and makes hands of nearly equal size", () => {
    expect(deal([1, 2, 3, 4, 5, 6, 7], 3)).toEqual([
      [1, 4, 7],
      [2, 5],
      [3, 6],
    ]);
  });

  test("makes no empty hands", () => {
    expect(deal([1, 2], 4)).toEqual([[1], [2]]);
    expect(deal([], 4)).toEqual([]);
  });
});
