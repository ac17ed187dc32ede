/** While the disk holds the lifeboat's table, nothing makes udev look at it: it would take the old partitions' links away. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { type ArmImage, makeArmImage, openArmable } from "../support/armable-disk.ts";
import { runTestCommand } from "../support/loop-device.ts";

const timeoutMs = 180_000;
let image: ArmImage;
beforeAll(async () => {
  image = await makeArmImage();
}, timeoutMs);
afterAll(() => image[Symbol.asyncDispose]());

test.each(["gap", "swap", "file"] as const)(
  "%s: neither arming nor `status` opens the node of the disk for writing",
  async (place) => {
    await using armable = await openArmable(image, { place });
    const { disk, folder, arguments: given, stateDir } = armable;
    const program = [process.execPath, "src/main.ts"];
    /** The system calls by which a file is opened, in order. */
    const openedBy = async (name: string, args: readonly string[]): Promise<string[]> => {
      const trace = join(folder, `${name}.trace`);
      const traced = ["strace", "-f", "--seccomp-bpf", "-o", trace, "-e", "trace=open,openat", "-e", "signal=none"];
      await runTestCommand([...traced, ...program, name, ...args]);
      return (await Bun.file(trace).text()).split("\n").filter((line) => line.includes("open"));
    };
    const isForWriting = (line: string) => /O_RDWR|O_WRONLY/.test(line);
    const arming = await openedBy("arm", given);
    expect(arming.filter((line) => line.includes('"/dev/.reimage-')).some(isForWriting)).toBe(true); // the switch
    const looking = await openedBy("status", ["--state", stateDir]);
    const ofDisk = [...arming, ...looking].filter((line) => line.includes(`"${disk.path}"`));
    expect(ofDisk.length).toBeGreaterThan(2);
    expect(ofDisk.filter(isForWriting)).toEqual([]);
  },
  timeoutMs,
);
