/** The old system may have any glibc of the last ten years: what is asked of it by name has to be in all of them. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { $ } from "zx";

/** Of Debian 9 and Ubuntu 16.04; RHEL 7 has 2.17. */
const oldest = "2.17";

const isNewer = (a: string, b: string): boolean => {
  const [[majorA = 0, minorA = 0], [majorB = 0, minorB = 0]] = [a, b].map((text) => text.split(".").map(Number)) as [
    number[],
    number[],
  ];
  return majorA > majorB || (majorA === majorB && minorA > minorB);
};

/** By name: the versions of glibc that a library or program names for it. */
async function readVersions(path: string): Promise<Map<string, string[]>> {
  const { stdout } = await $({ quiet: true })`readelf -W --dyn-syms ${path}`;
  const found = new Map<string, string[]>();
  for (const [, name = "", version = ""] of stdout.matchAll(/ (\w+)@+GLIBC_([\d.]+)/g))
    found.set(name, [...(found.get(name) ?? []), version]);
  return found;
}

test("every function that src/system/libc.ts calls is in an old glibc", async () => {
  const [, path = ""] = /(\/\S+\/libc\.so\.6)$/m.exec(readFileSync("/proc/self/maps", "utf8")) ?? [];
  const versions = await readVersions(path);
  expect(versions.get("mknod")).toEqual(["2.33"]); // as an example of what would fail
  const source = readFileSync("src/system/libc.ts", "utf8");
  const blocks = [...source.matchAll(/dlopen\("libc\.so\.6", \{([^}]*(?:\{[^}]*\}[^}]*)*)\}\)/g)];
  const names = blocks.flatMap(([, block = ""]) =>
    [...block.matchAll(/(\w+): \{ args:/g)].map(([, name = ""]) => name),
  );
  expect(names.length).toBeGreaterThan(20);
  for (const name of names) {
    const known = versions.get(name) ?? [];
    expect([name, known.some((version) => !isNewer(version, oldest))]).toEqual([name, true]);
  }
});

test("nor does the runtime need a newer one", async () => {
  const needed = [...(await readVersions(process.execPath)).values()].flat();
  expect(needed.length).toBeGreaterThan(100);
  expect(needed.filter((version) => isNewer(version, oldest))).toEqual([]);
});
