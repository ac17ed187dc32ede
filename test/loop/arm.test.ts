/** `reimage arm`, `status` and `disarm` on a running old system: what changes on the disk, and what comes back. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readKeptNote } from "../../src/arming/kept-note.ts";
import { mapBulk } from "../../src/lifeboat/layout.ts";
import {
  type ArmableDisk,
  type ArmImage,
  armedRegions,
  differences,
  isSwapOn,
  makeArmImage,
  openArmable,
} from "../support/armable-disk.ts";
import { runTestCommand } from "../support/loop-device.ts";

const MIB = 1 << 20;
const timeoutMs = 180_000;
let image: ArmImage;
beforeAll(async () => {
  image = await makeArmImage();
}, timeoutMs);
afterAll(() => image[Symbol.asyncDispose]());

const firstSector = (disk: Buffer): string => disk.toString("hex", 0, 512);

/** Kind, mode, size and content of every file below a directory, the lifeboat's own left out. */
async function filesBelow(root: string): Promise<string> {
  const script = `find . ! -name .reimage-lifeboat -printf '%p %y %m %U %s %T@\\n' | sort; find . -type f ! -name .reimage-lifeboat | sort | xargs sha256sum`;
  // The top directory changes when a file in it is made and removed.
  return (await runTestCommand(["sh", "-c", script], { cwd: root })).replace(/^\. d .*$/m, "");
}

test.each([
  ["gap", "dos"],
  ["gap", "gpt"],
  ["swap", "dos"],
  ["swap", "gpt"],
] as const)(
  "%s in a %s table: nothing but the lifeboat and the switch sector changes, and disarming gives it back",
  async (place, table) => {
    await using armable = await openArmable(image, { place, table });
    const { swap, disk } = armable;
    if (place === "swap") await runTestCommand(["swapon", "--priority", "7", swap]);
    const before = await armable.readAll();
    expect(await armable.arm()).toMatchObject({ exitCode: 0, stderr: "" });
    const header = await armable.header();
    // While it is on, this computer may lay pages of its memory into it; the first one is the area's own.
    const partition = header.undo.kind === "swap" ? header.undo.partition : null;
    const swapPage = partition === null ? [] : [{ ...partition, sizeBytes: 4096 }];
    const pages =
      partition === null ? [] : [{ offsetBytes: partition.offsetBytes + 4096, sizeBytes: partition.sizeBytes - 4096 }];
    expect(header.undo.kind).toBe(place);
    expect(isSwapOn(swap)).toBe(false);
    const armed = await armable.readAll();
    expect(differences(before, armed, [...armedRegions(header), ...swapPage, ...pages])).toEqual([]);
    expect(firstSector(armed)).not.toBe(firstSector(before));
    expect(await armable.statusData()).toEqual({
      ...{ armed: true, mode: "lifeboat", disk: disk.path, state: "armed", attempts: 0 },
      nextStart: "reimage, from the lifeboat",
    });
    const { stdout } = await armable.status();
    expect(stdout).toMatch(/^Armed {8}yes$/m);
    expect(stdout).toMatch(/^Next start {3}reimage, from the lifeboat$/m);

    expect(await armable.disarm()).toMatchObject({ exitCode: 0, stderr: "" });
    expect(isSwapOn(swap)).toBe(place === "swap");
    if (place === "swap") {
      expect(readFileSync("/proc/swaps", "utf8")).toMatch(new RegExp(`^${swap}.*\\t7$`, "m"));
      const probed = await runTestCommand(["blkid", "-p", "-o", "value", "-s", "LABEL", "-s", "TYPE", swap]);
      expect(probed.trim().split("\n").sort()).toEqual(["old-swap", "swap"]);
    }
    // Of the lifeboat only bytes that belong to nobody are left.
    const allowed = [header.boot, ...header.bulk, ...pages];
    expect(differences(before, await armable.readAll(), allowed)).toEqual([]);
    expect(await armable.statusData()).toEqual({ armed: false, nextStart: "the system that is installed" });
    expect(await armable.disarm()).toMatchObject({ exitCode: 0, stdout: "This machine is not armed.\n" });
    expect(differences(before, await armable.readAll(), allowed)).toEqual([]);
  },
  timeoutMs,
);

test.each([
  ["ext4", "dos"],
  ["xfs", "gpt"],
] as const)(
  "a file on %s in a %s table: the old system's files stay as they are, and disarming removes it",
  async (rootType, table) => {
    await using armable = await openArmable(image, { place: "file", rootType, table });
    const { root, disk } = armable;
    const file = join(root, ".reimage-lifeboat");
    const files = await filesBelow(root);
    const before = await armable.readAll();
    expect(await armable.arm()).toMatchObject({ exitCode: 0, stderr: "" });
    const header = await armable.header();
    expect(header.undo).toMatchObject({ kind: "file", path: file });
    expect(lstatSync(file).mode & 0o777).toBe(0o600);
    await expect(runTestCommand(["rm", "-f", file])).rejects.toThrow("Operation not permitted");
    expect(await filesBelow(root)).toBe(files);
    const [part] = disk.table.partitions;
    const partition = { offsetBytes: part?.startBytes ?? 0, sizeBytes: part?.sizeBytes ?? 0 };
    for (const { offsetBytes, sizeBytes } of [header.boot, ...header.bulk]) {
      expect(offsetBytes).toBeGreaterThanOrEqual(20 * MIB); // behind the image
      expect(offsetBytes + sizeBytes).toBeLessThanOrEqual(partition.offsetBytes + partition.sizeBytes);
    }
    expect(differences(before, await armable.readAll(), [partition, { offsetBytes: 0, sizeBytes: 512 }])).toEqual([]);
    expect(await armable.statusData()).toMatchObject({ armed: true, state: "armed" });

    expect(await armable.disarm()).toMatchObject({ exitCode: 0, stderr: "" });
    expect(existsSync(file)).toBe(false);
    expect(await filesBelow(root)).toBe(files);
    expect(differences(before, await armable.readAll(), [partition])).toEqual([]);
    await runTestCommand(["umount", root]);
    await runTestCommand(
      rootType === "ext4" ? ["e2fsck", "-fn", disk.partition(1)] : ["xfs_repair", "-n", disk.partition(1)],
    );
    await runTestCommand(["mount", disk.partition(1), root]);
  },
  timeoutMs,
);

test(
  "the output as JSON names target, place and image",
  async () => {
    await using armable = await openArmable(image, { place: "gap" });
    const { stdout, exitCode } = await armable.arm("--json", "--place", "gap");
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      mode: "lifeboat",
      target: { path: armable.disk.path },
      place: { kind: "gap" },
      image: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
    });
  },
  timeoutMs,
);

test(
  "armed twice: refused, with the note and without it, and armed as before",
  async () => {
    for (const place of ["gap", "swap", "file"] as const) {
      await using armable = await openArmable(image, { place });
      expect(await armable.arm()).toMatchObject({ exitCode: 0 });
      const armed = await armable.readAll();
      const again = await armable.arm();
      expect(again).toMatchObject({ exitCode: 3, stdout: "" });
      expect(again.stderr).toMatch(/armed already[\s\S]*reimage disarm/);
      const elsewhere = await armable.arm("--state", join(armable.folder, "other"));
      expect(elsewhere.exitCode).toBe(3);
      expect(elsewhere.stderr).toMatch(/boots a lifeboat already|armed already/);
      expect(readKeptNote(join(armable.folder, "other"))).toBeNull();
      expect(differences(armed, await armable.readAll(), [])).toEqual([]);
      expect(await armable.disarm()).toMatchObject({ exitCode: 0 });
    }
  },
  timeoutMs,
);

/** Writes at a byte of the disk, past its page cache. */
async function overwrite({ disk }: ArmableDisk, offsetBytes: number, data: string): Promise<void> {
  await runTestCommand(["dd", `of=${disk.path}`, "bs=1", `seek=${offsetBytes}`, "conv=notrunc,fsync", "status=none"], {
    stdin: Buffer.from(data),
  });
}

test(
  "a boot sector that somebody has changed since is told, and left as it is",
  async () => {
    await using armable = await openArmable(image, { place: "swap" });
    expect(await armable.arm()).toMatchObject({ exitCode: 0 });
    const table = "label: dos\nstart=1MiB, size=100MiB, bootable\n";
    await runTestCommand(["sfdisk", "-q", "--no-tell-kernel", "--no-reread", armable.disk.path], {
      stdin: Buffer.from(table),
    });
    const changed = await armable.readAll();
    expect(await armable.statusData()).toMatchObject({
      armed: false,
      nextStart: "what somebody else has written into the boot sector",
    });
    const { exitCode, stdout } = await armable.disarm();
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/changed the boot sector[\s\S]*left as it is/);
    expect(firstSector(await armable.readAll())).toBe(firstSector(changed));
  },
  timeoutMs,
);

test(
  "boot code that somebody has changed since stays, and the old partitions are back",
  async () => {
    await using armable = await openArmable(image, { place: "gap" });
    const before = await armable.readAll();
    expect(await armable.arm()).toMatchObject({ exitCode: 0 });
    await overwrite(armable, 0, "boot code of somebody else");
    expect(await armable.statusData()).toMatchObject({ armed: false });
    const { exitCode, stdout } = await armable.disarm();
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/boot code/);
    const after = await armable.readAll();
    expect(after.toString("latin1", 0, 26)).toBe("boot code of somebody else");
    expect(after.toString("hex", 440, 512)).toBe(before.toString("hex", 440, 512));
  },
  timeoutMs,
);

test(
  "a damaged lifeboat: the old boot sector comes back all the same",
  async () => {
    for (const [what, at] of [
      ["header", 100],
      ["first record", (32 << 10) + 100],
      ["both records", (32 << 10) + 100],
    ] as const) {
      await using armable = await openArmable(image, { place: "file" });
      const before = await armable.readAll();
      expect(await armable.arm()).toMatchObject({ exitCode: 0 });
      const { boot } = await armable.header();
      await overwrite(armable, boot.offsetBytes + at, "\u0007");
      if (what === "both records") await overwrite(armable, boot.offsetBytes + (36 << 10) + 100, "\u0007");
      const status = await armable.statusData();
      expect(status.armed, what).toBe(what === "first record");
      expect(await armable.disarm(), what).toMatchObject({ exitCode: 0 });
      expect(firstSector(await armable.readAll()), what).toBe(firstSector(before));
      expect(existsSync(join(armable.root, ".reimage-lifeboat"))).toBe(false);
    }
  },
  timeoutMs,
);

test(
  "a byte of the boot volume or of the image that has changed is told",
  async () => {
    await using armable = await openArmable(image, { place: "gap" });
    expect(await armable.arm()).toMatchObject({ exitCode: 0 });
    const { volume, bulk, layout } = await armable.header();
    const [parked] = mapBulk(bulk, layout.image);
    const cases = [
      [volume.offsetBytes + volume.sizeBytes - 1, /boot volume of the lifeboat is not as it was written/],
      [(parked?.offsetBytes ?? 0) + 500_000, /image in the lifeboat is not as it was written/],
    ] as const;
    for (const [at, says] of cases) {
      const was = (await armable.readAll()).subarray(at, at + 1).toString("latin1");
      await overwrite(armable, at, was === "a" ? "b" : "a");
      const todo = "reimage disarm, and arm again";
      expect(await armable.statusData()).toMatchObject({ armed: false, changed: expect.stringMatching(says), todo });
      expect((await armable.status()).stdout).toMatch(/^Armed {8}no$/m);
      await runTestCommand(
        ["dd", `of=${armable.disk.path}`, "bs=1", `seek=${at}`, "conv=notrunc,fsync", "status=none"],
        { stdin: Buffer.from(was, "latin1") },
      );
      expect(await armable.statusData()).toMatchObject({ armed: true });
    }
    expect(await armable.disarm()).toMatchObject({ exitCode: 0 });
  },
  timeoutMs,
);

test(
  "a file that was touched is told",
  async () => {
    const touch: readonly (readonly [command: string, says: RegExp])[] = [
      ["chattr -i F && truncate -s 4M F && chattr +i F", /moved or cut off/],
      ["chattr -i F", /was made mutable/],
      ["chattr -i F && rm F", /is gone/],
      ["chattr -i F && cp --sparse=never F G && mv G F && chattr +i F", /another file now/],
      // The same name and inode, the data elsewhere, as a defragmenter does it.
      [
        "chattr -i F && cp F G && fallocate -p -o 0 -l $(stat -c %s F) F && cat G >F && rm G && chattr +i F",
        /moved or cut off/,
      ],
    ];
    for (const [command, says] of touch) {
      await using armable = await openArmable(image, { place: "file" });
      const before = await armable.readAll();
      expect(await armable.arm()).toMatchObject({ exitCode: 0 });
      const file = join(armable.root, ".reimage-lifeboat");
      const script = command.replace(/\bF\b/g, file).replace(/\bG\b/g, `${file}-copy`);
      await runTestCommand(["sh", "-ec", `${script}; sync`]);
      const status = await armable.statusData();
      expect(status, command).toMatchObject({ armed: false, changed: expect.stringMatching(says) });
      const disarmed = await armable.disarm();
      expect(firstSector(await armable.readAll()), command).toBe(firstSector(before));
      if (command.includes("mv G")) {
        expect(disarmed.exitCode).toBe(3);
        expect(disarmed.stderr).toMatch(/another file than the one that was made/);
        expect(existsSync(file)).toBe(true);
        await runTestCommand(["chattr", "-i", file]);
      } else {
        expect(disarmed.exitCode, command).toBe(0);
        expect(existsSync(file)).toBe(false);
      }
    }
  },
  timeoutMs,
);
