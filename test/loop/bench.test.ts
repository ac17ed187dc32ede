/** The pieces of `make bench` on a tiny image, one round: that it runs, and notices what is wrong. No time is asserted. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { contenders } from "../../scripts/bench/contenders.ts";
import { ratiosOf, summarise } from "../../scripts/bench/figures.ts";
import { type ImageFiles, makeImageFiles } from "../../scripts/bench/image-files.ts";
import { measure } from "../../scripts/bench/measure.ts";
import { profileParts } from "../../scripts/bench/profile.ts";
import { runRounds } from "../../scripts/bench/rounds.ts";
import { type BenchTarget, openTarget } from "../../scripts/bench/target.ts";
import { verifyContent } from "../../scripts/bench/verify.ts";
import { assembleDisk } from "../../scripts/kiosk/disk-image.ts";
import { runTestCommand, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";

const MiB = 1 << 20;
let temporary: TemporaryDirectory;
let image: ImageFiles;
let target: BenchTarget;
const never = new AbortController().signal;

beforeAll(async () => {
  temporary = await temporaryDirectory();
  const contents = join(temporary.dir, "root.ext4");
  await runTestCommand(["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", "src", contents, "16M"]);
  const file = join(temporary.dir, "tiny.img");
  const root = { number: 1, startMiB: 1, sizeMiB: 16, type: "83", contents };
  await assembleDisk(file, { table: "mbr", sizeMiB: 24, partitions: [root] });
  image = await makeImageFiles(file, `bench-smoke-${process.pid}`);
  target = await openTarget(temporary.dir, image.map.imageSizeBytes);
}, 60_000);

afterAll(async () => {
  await target?.[Symbol.asyncDispose]();
  if (image !== undefined) rmSync(join(image.files.ZST, ".."), { recursive: true });
  await temporary?.[Symbol.asyncDispose]();
});

test("every contender writes the image, and is measured", async () => {
  const seen: string[] = [];
  const measured = await runRounds({
    ...{ contenders, rounds: 1, files: image.files, target, mapped: image.map.ranges, speedLimit: null, signal: never },
    imageSizeBytes: image.map.imageSizeBytes,
    onMeasured: ({ name }) => void seen.push(name),
  });
  expect(seen).toEqual(contenders.map(({ name }) => name));
  const runs = Object.fromEntries([...measured].map(([name, measurements]) => [name, summarise(measurements)]));
  for (const { median_s, peak_mb } of Object.values(runs)) {
    expect(median_s).toBeGreaterThan(0);
    expect(peak_mb).toBeGreaterThanOrEqual(0);
  }
  expect(runs["reimage-zst"]?.peak_mb).toBeGreaterThan(10);
  expect(Object.values(ratiosOf(runs)).every(Number.isFinite)).toBe(true);
}, 120_000);

test("a contender that leaves something else is found out, and the device is not limited afterwards", async () => {
  const liar = { name: "liar", command: 'dd if="$MAPPED" of="$DEV" bs=1M', reads: "MAPPED", leaves: "image" } as const;
  const running = runRounds({
    ...{ contenders: [liar], rounds: 1, files: image.files, target, mapped: image.map.ranges, signal: never },
    ...{ speedLimit: 1e9, imageSizeBytes: image.map.imageSizeBytes, onMeasured: () => {} },
  });
  await expect(running).rejects.toThrow("does not hold");
  const limits = "/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device";
  if (existsSync(limits)) expect(await runTestCommand(["cat", limits])).not.toContain("1000000000");
});

test("one byte that differs within a mapped range is found, and one outside is not", async () => {
  const [first] = image.map.ranges;
  await runTestCommand(["dd", `if=${image.files.IMG}`, `of=${target.path}`, "bs=1M", "conv=fsync", "status=none"]);
  await verifyContent(image.files.IMG, target.path, image.map.ranges);
  const change = (atBytes: number) =>
    runTestCommand(["dd", `of=${target.path}`, "bs=1", `seek=${atBytes}`, "conv=notrunc,fsync", "status=none"], {
      stdin: Buffer.from("x"),
    });
  await change(image.map.imageSizeBytes - 1);
  await verifyContent(image.files.IMG, target.path, image.map.ranges);
  await change((first?.offsetBytes ?? 0) + 100);
  await expect(verifyContent(image.files.IMG, target.path, image.map.ranges)).rejects.toThrow("does not hold");
});

describe("measuring", () => {
  test("knows the CPU time and the memory of all processes of a pipe", async () => {
    const hungry = "head -c 40000000 /dev/zero | perl -e 'local $/; my $all = <STDIN>; 1 while $n++ < 2e7'";
    const { cpuSeconds, peakBytes, seconds } = await measure(hungry, {}, never);
    expect(peakBytes).toBeGreaterThan(40_000_000);
    expect(cpuSeconds).toBeGreaterThan(0.1);
    expect(seconds).toBeGreaterThan(0);
  });

  test.each([["false | cat"], ["kill -9 $$"], ["echo no luck >&2; exit 3"]])(
    "refuses the time of %s",
    async (command) => {
      await expect(measure(command, {}, never)).rejects.toThrow(command);
    },
  );

  test("that is ended from outside ends all processes", async () => {
    const stop = new AbortController();
    const fifo = join(temporary.dir, "fifo");
    const pids = join(temporary.dir, "pids");
    await runTestCommand(["mkfifo", fifo]);
    const running = measure(`sleep 1000 & echo $! > "${pids}"; echo up > "${fifo}"; wait`, {}, stop.signal);
    running.catch(() => {}); // looked at below
    await runTestCommand(["cat", fifo]);
    stop.abort(new Error("enough"));
    await expect(running).rejects.toThrow("enough");
    const pid = (await Bun.file(pids).text()).trim();
    while (existsSync(`/proc/${pid}`) && !/^State:\tZ/m.test(await Bun.file(`/proc/${pid}/status`).text())) {
      await new Promise(setImmediate); // a kill takes its moment
    }
  });
});

test("the parts are profiled", async () => {
  const rows = await profileParts(image.files, image.mappedBytes, target, never);
  expect(rows.every(({ seconds }) => (seconds ?? 0) > 0)).toBe(true);
}, 60_000);

test("a target goes away with its file and its loop device", async () => {
  const folder = join(temporary.dir, "other");
  await runTestCommand(["mkdir", folder]);
  const other = await openTarget(folder, MiB);
  await other[Symbol.asyncDispose]();
  expect(existsSync(join(folder, "target.img"))).toBe(false);
  expect(await runTestCommand(["losetup", "--list", "--noheadings", "--output", "BACK-FILE"])).not.toContain(folder);
});
