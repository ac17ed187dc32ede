/** What `reimage arm` refuses: in words with numbers, before anything has changed. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { appendFile, cp } from "node:fs/promises";
import { join } from "node:path";
import type { ArmableDisk, ArmableOptions, ArmImage } from "../support/armable-disk.ts";
import { differences, isSwapOn, makeArmImage, openArmable } from "../support/armable-disk.ts";
import { runTestCommand, temporaryDirectory } from "../support/loop-device.ts";
import { noise } from "../support/make-disk.ts";

const MIB = 1 << 20;
const timeoutMs = 180_000;
let image: ArmImage;
beforeAll(async () => {
  image = await makeArmImage();
}, timeoutMs);
afterAll(() => image[Symbol.asyncDispose]());

interface Refused {
  readonly exitCode?: number;
  readonly says: RegExp;
  /** Blocks were taken to see where they lie, and given back: the file system's own notes have changed. */
  readonly isTried?: boolean;
}

/** Arms, and sees that it is refused and that no byte of the disk has changed. */
async function expectRefused(armable: ArmableDisk, options: readonly string[], refused: Refused) {
  const { exitCode = 3, says, isTried = false } = refused;
  const before = await armable.readAll();
  const result = await armable.arm(...options);
  expect(result).toMatchObject({ exitCode });
  expect(result.stderr).toMatch(says);
  expect(result.stderr).toMatch(/what to do: /);
  expect(result.stdout).not.toContain("Armed");
  expect(existsSync(join(armable.root, ".reimage-lifeboat"))).toBe(false);
  const [root] = armable.disk.table.partitions;
  const allowed = isTried && root !== undefined ? [{ offsetBytes: root.startBytes, sizeBytes: root.sizeBytes }] : [];
  expect(differences(before, await armable.readAll(), allowed)).toEqual([]);
  expect((await armable.statusData()).armed).toBe(false);
}

const numbers = /\d+\.\d MiB needed \(\d+\.\d MiB of it in one piece\), [^\n]* usable/;

test.each([
  ["a disk exactly as large as the image", { place: "file", rootMiB: 16 }, 20 - 1 - 16 - 2],
  ["a disk little larger than the image", { place: "file", rootMiB: 36 }, 0],
  ["an image over most of an old file system that has room enough", { place: "file", rootMiB: 46 }, 0],
] as const)(
  "%s",
  async (_name, options, tailMiB) => {
    await using armable = await openArmable(image, { ...(options as ArmableOptions), tailMiB });
    await expectRefused(armable, [], { says: numbers });
    await expectRefused(armable, [], { says: /--accept-power-cut-risk/ });
  },
  timeoutMs,
);

test(
  "a disk that the BIOS does not start from",
  async () => {
    await using armable = await openArmable(image, { place: "gap" });
    const { path } = armable.disk;
    await runTestCommand([
      "dd",
      "if=/dev/zero",
      `of=${path}`,
      "bs=440",
      "count=1",
      "conv=notrunc,fsync",
      "status=none",
    ]);
    await expectRefused(armable, [], { says: /has no boot code: the BIOS starts this machine from another disk/ });
  },
  timeoutMs,
);

test(
  "an old file system that is full",
  async () => {
    await using armable = await openArmable(image, { place: "file" });
    await runTestCommand(["sh", "-c", `dd if=/dev/zero of=${armable.root}/filler bs=1M status=none; sync`]).catch(
      () => {},
    );
    await expectRefused(armable, [], { says: /a file on [\s\S]*\d MiB[\s\S]*--accept-power-cut-risk/ });
    // With the room that is needed, it is armed.
    await runTestCommand(["truncate", "-s", "30M", join(armable.root, "filler")]);
    expect(await armable.arm()).toMatchObject({ exitCode: 0 });
    expect(await armable.disarm()).toMatchObject({ exitCode: 0 });
  },
  timeoutMs,
);

test(
  "an old file system whose room is in small pieces",
  async () => {
    await using armable = await openArmable(image, { place: "file" });
    const pieces = join(armable.root, "pieces");
    mkdirSync(pieces);
    const script = `i=0; while dd if=/dev/zero of=${pieces}/$i bs=1M count=1 status=none 2>/dev/null; do i=$((i + 1)); done; sync; rm -f ${pieces}/*[02468]; sync`;
    await runTestCommand(["sh", "-c", script]);
    await expectRefused(armable, [], { says: /in one piece/, isTried: true });
    expect(readdirSync(pieces).length).toBeGreaterThan(20);
  },
  timeoutMs,
);

test(
  "btrfs is refused with the reason",
  async () => {
    await using armable = await openArmable(image, { place: "file", rootType: "btrfs", rootMiB: 320 });
    const result = await armable.arm();
    expect(result.exitCode).toBe(3);
    expect(result.stderr).toMatch(/btrfs writes every change to another place/);
    expect(existsSync(join(armable.root, ".reimage-lifeboat"))).toBe(false);
  },
  timeoutMs,
);

test(
  "a configuration that does not fit, and files that are not there",
  async () => {
    await using armable = await openArmable(image, { place: "gap" });
    const at = (name: string): string => join(armable.folder, name);
    const cases: readonly (readonly [options: readonly string[], refused: Refused])[] = [
      [["--set", `retention.list=${at("none")}`], { exitCode: 2, says: /retention\.list: .*none is not there/ }],
      [["--set", "retention.list=list"], { exitCode: 2, says: /retention\.list/ }],
      [["--set", "image.source=images/os.img"], { exitCode: 2, says: /image\.source/ }],
      [["--set", "image.soruce=/x"], { exitCode: 2, says: /image\.source/ }],
      [["--set", 'log=/var/log/"reimage"'], { exitCode: 2, says: /quote/ }],
      [["--append", "x\ny"], { says: /command line/ }],
      [["--append", "x".repeat(3000)], { says: /command line.*bytes/ }],
      [["--kernel", at("none")], { exitCode: 2, says: /--kernel/ }],
      [["--kernel", armable.config], { says: /reimage\.yaml/ }],
      [["--initramfs", at("none")], { exitCode: 2, says: /--initramfs/ }],
      [["--config", at("none")], { exitCode: 2, says: /--config/ }],
      [["--place", "tape"], { exitCode: 2, says: /gap, swap, file/ }],
      [["--ram"], { exitCode: 2, says: /--accept-power-cut-risk/ }],
      [["--set", "old.root=LABEL=nobody-has-it"], { says: /nothing is LABEL=nobody-has-it/ }],
      [
        ["--set", "image.publicKey=/nowhere/key"],
        { exitCode: 2, says: /image\.publicKey: \/nowhere\/key is not there/ },
      ],
    ];
    for (const [options, refused] of cases) await expectRefused(armable, options, refused);
    await appendFile(at("list"), "@required /etc/not-there\n");
    await expectRefused(armable, [], { says: /\/etc\/not-there/ });
  },
  timeoutMs,
);

test(
  "an image that is cut, or a byte of it wrong",
  async () => {
    await using armable = await openArmable(image, { place: "gap" });
    const file = join(armable.root, "images/os.img.zst");
    await runTestCommand(["truncate", "-s", "-100", file]);
    await expectRefused(armable, [], { says: /image/ });
    await cp(image.image, file);
    await runTestCommand(["dd", `of=${file}`, "bs=1", "seek=500000", "conv=notrunc", "status=none"], {
      stdin: noise("wrong", 64),
    });
    await expectRefused(armable, [], { says: /image/ });
  },
  timeoutMs,
);

test(
  "no room for the note, or a place for it that cannot be written",
  async () => {
    await using temporary = await temporaryDirectory();
    await runTestCommand(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", temporary.dir]);
    try {
      writeFileSync(join(temporary.dir, "filler"), Buffer.alloc(8192));
      for (const place of ["gap", "swap", "file"] as const) {
        await using armable = await openArmable(image, { place });
        if (place === "swap") await runTestCommand(["swapon", armable.swap]);
        const before = await armable.readAll();
        const header = async (options: string) => {
          await runTestCommand(["mount", "-o", `remount,${options}`, temporary.dir]);
          const result = await armable.arm("--state", join(temporary.dir, "reimage"));
          expect(result).toMatchObject({ exitCode: 3 });
          expect(result.stderr).toMatch(/the note that disarming needs cannot be written[\s\S]*--state/);
          expect(isSwapOn(armable.swap)).toBe(place === "swap");
          expect(existsSync(join(armable.root, ".reimage-lifeboat"))).toBe(false);
        };
        await header("ro");
        await header("rw");
        const [root] = armable.disk.table.partitions;
        const own = place === "file" ? [{ offsetBytes: MIB, sizeBytes: root?.sizeBytes ?? 0 }] : [];
        expect(differences(before, await armable.readAll(), own)).toEqual([]);
      }
    } finally {
      await runTestCommand(["umount", temporary.dir]);
    }
  },
  timeoutMs,
);
