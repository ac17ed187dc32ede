import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { moduleGroups } from "../../../initramfs/modules.ts";
import { tools } from "../../../initramfs/tools.ts";
import { parseKernelPackage } from "../../../scripts/fetch-kernel.ts";
import { parsePackages } from "../../../scripts/packages.ts";
import { LOST_STATUS, RESCUE_STATUS } from "../../../src/init/exit-status.ts";

const root = join(import.meta.dir, "../../..");
const read = (path: string) => readFileSync(join(root, path), "utf8");

describe("the lists of the initramfs", () => {
  test("every packed tool's package is installed by make packages", () => {
    const installed = parsePackages(read("scripts/packages.txt"));
    expect(tools.map((tool) => tool.package).filter((name) => !installed.includes(name))).toEqual([]);
  });

  test("no package is listed twice", () => {
    const listed = parsePackages(read("scripts/packages.txt"));
    expect(listed.filter((name, i) => listed.indexOf(name) !== i)).toEqual([]);
  });

  test("every package has its reason", () => {
    const bare = read("scripts/packages.txt")
      .split("\n")
      .filter((line) => line !== "" && !/#\s*\S/.test(line));
    expect(bare).toEqual([]);
  });

  test("no module pattern stands twice", () => {
    const patterns = moduleGroups.flatMap((group) => group.patterns);
    expect(patterns.filter((pattern, i) => patterns.indexOf(pattern) !== i)).toEqual([]);
  });
});

describe("the bootstrap", () => {
  test("is a shell script without a mistake in its syntax", () => {
    const result = Bun.spawnSync(["sh", "-n", join(root, "initramfs/init")]);
    expect(result.stderr.toString()).toBe("");
    expect(result.exitCode).toBe(0);
  });

  test("opens its shell, and gives the machine back, on the statuses that the program ends with", () => {
    const init = read("initramfs/init");
    expect(init).toContain(`[ "$status" -eq ${RESCUE_STATUS} ] || [ "$status" -eq ${LOST_STATUS} ] && rescue`);
    expect(init).toContain(`[ "$status" -eq ${LOST_STATUS} ] && give_back`);
  });

  test("looks for the file that sorts last in the archive", () => {
    expect(read("initramfs/init")).toContain("[ ! -e /zz-complete ]");
    expect(read("scripts/build-initramfs.ts")).toContain('"zz-complete"');
  });
});

describe("parseKernelPackage", () => {
  test("takes the package that the meta package depends on", () => {
    const output = "linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n  Suggests: firmware-linux-free\n";
    expect(parseKernelPackage(output)).toBe("linux-image-6.1.0-56-amd64");
  });

  test("is null for an apt that knows no such package", () => {
    expect(parseKernelPackage("")).toBeNull();
  });
});
