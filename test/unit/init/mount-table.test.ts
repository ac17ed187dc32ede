import { describe, expect, test } from "bun:test";
import { entriesToMount, mountTable } from "../../../src/init/mount-table.ts";

const fresh =
  "rootfs / rootfs rw 0 0\nproc /proc proc rw 0 0\ndevtmpfs /dev devtmpfs rw 0 0\ntmpfs /run tmpfs rw 0 0\n";
const directories = (mounts: string, firmware: "bios" | "efi") =>
  entriesToMount(mountTable, mounts, () => firmware === "efi").map((entry) => entry.directory);

describe("entriesToMount", () => {
  test("EFI variables only where the firmware is EFI", () => {
    expect(directories(fresh, "bios")).toEqual(["/dev/pts", "/tmp"]);
    expect(directories(fresh, "efi")).toEqual(["/dev/pts", "/tmp", "/sys/firmware/efi/efivars"]);
  });

  test("what is mounted already stays as it is", () => {
    expect(directories(`${fresh}tmpfs /tmp tmpfs rw 0 0\ndevpts /dev/pts devpts rw 0 0\n`, "bios")).toEqual([]);
  });

  test("a mount below a directory does not count as the directory", () => {
    expect(directories(`${fresh}tmpfs /tmp/other tmpfs rw 0 0\n`, "bios")).toContain("/tmp");
  });
});
