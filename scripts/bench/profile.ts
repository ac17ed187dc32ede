/** Where the CPU goes: the parts of writing a zst image, each alone, and the threads of reimage doing all of them at once. */
import type { BenchFiles } from "./contenders.ts";
import type { DetailedMeasurement } from "./measure.ts";
import { measure } from "./measure.ts";
import type { BenchTarget } from "./target.ts";

/** Wall and CPU seconds; null where they were not taken. */
export interface ProfileRow {
  readonly what: string;
  readonly seconds: number | null;
  readonly userSeconds: number;
  readonly systemSeconds: number;
}

/** Digests of as many bytes as are mapped, on the threads that reimage takes them on, 4 MiB each. */
const hashing = `UV_THREADPOOL_SIZE=8 "$BUN" -e '
const bytes = Number(process.env.MAPPED_BYTES);
const pieces = Array.from({ length: 6 }, () => new Uint8Array(1 << 22));
for (let done = 0; done < bytes; done += 6 << 22) await Promise.all(pieces.map((piece) => crypto.subtle.digest("SHA-256", piece)));'`;

const parts: readonly { readonly what: string; readonly command: string }[] = [
  { what: "decoding zst to /dev/null", command: `zstd -q -dc "$ZST" > /dev/null` },
  { what: "decoding zst into a pipe that is read", command: `zstd -q -dc "$ZST" | dd of=/dev/null bs=1M status=none` },
  { what: "decoding bz2 (lbzip2) to /dev/null", command: `lbzip2 -dc "$BZ2" > /dev/null` },
  { what: "SHA-256 of the mapped bytes", command: hashing },
  {
    what: "writing the mapped bytes, direct",
    command: `dd if="$MAPPED" of="$DEV" bs=4M oflag=direct conv=fsync status=none`,
  },
  {
    what: "reading them back, direct",
    command: `dd if="$DEV" of=/dev/null bs=4M iflag=direct,count_bytes count="$MAPPED_BYTES" status=none`,
  },
];

/** Measures each part by itself, on an idle target. */
export async function profileParts(
  files: BenchFiles,
  mappedBytes: number,
  target: BenchTarget,
  signal: AbortSignal,
): Promise<ProfileRow[]> {
  const environment = { ...files, DEV: target.path, BUN: process.execPath, MAPPED_BYTES: String(mappedBytes) };
  const rows: ProfileRow[] = [];
  for (const { what, command } of parts) {
    await target.settle();
    await measure(command, environment, signal); // once to warm the page cache
    await target.settle();
    rows.push({ what, ...(await measure(command, environment, signal)) });
  }
  return rows.map(({ what, seconds, userSeconds, systemSeconds }) => ({ what, seconds, userSeconds, systemSeconds }));
}

/** The threads of one run, those that took least left out. */
export function threadRows(name: string, { cpuByThread }: DetailedMeasurement): ProfileRow[] {
  const leastSeconds = 0.02;
  return [...cpuByThread]
    .map(([thread, cpu]) => ({ what: `${name}: ${thread}`, seconds: null, ...cpu }))
    .filter(({ userSeconds, systemSeconds }) => userSeconds + systemSeconds >= leastSeconds)
    .toSorted((a, b) => b.userSeconds + b.systemSeconds - a.userSeconds - a.systemSeconds);
}
