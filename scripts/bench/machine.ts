/** What the figures were taken on. */
import { readFileSync, statSync } from "node:fs";
import { availableParallelism, release, totalmem } from "node:os";
import { shell } from "../kiosk/cache.ts";
import type { ImageFiles } from "./image-files.ts";
import type { Setting } from "./results.ts";

const programs: readonly (readonly [name: string, ...arguments: string[]])[] = [
  ["bzip2", "--help"],
  ["lbzip2", "--version"],
  ["pbzip2", "--version"],
  ["zstd", "--version"],
  ["bmaptool", "--version"],
  ["dd", "--version"],
  ["qemu-system-x86_64", "--version"],
];

export async function readSetting(image: ImageFiles, device: string): Promise<Setting> {
  const versions: string[] = [];
  for (const [name, ...parameters] of programs) {
    const answer = await shell({ nothrow: true })`${name} ${parameters} 2>&1`;
    versions.push(`${name} ${/\d+\.\d[\w.]*/.exec(answer.stdout)?.[0] ?? "of unknown version"}`);
  }
  const MB = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
  const size = (path: string) => MB(statSync(path).size);
  const { files, map, mappedBytes } = image;
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: /^model name\s*: (.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "unknown",
    cpus: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    device,
    image:
      `Debian 12, ${map.imageSizeBytes / 2 ** 30} GiB, of which ${MB(mappedBytes)} are mapped in ${map.ranges.length} ` +
      `ranges; as one bz2 stream ${size(files.BZ2)}, packed bz2 ${size(files.PACKED_BZ2)}, packed zst ${size(files.ZST)}`,
    programs: [...versions, `bun ${Bun.version}`],
  };
}
