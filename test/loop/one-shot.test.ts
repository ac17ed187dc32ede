/** One-shot entries on real file systems: what is found out about them, what is written, and what is taken back. */
import { expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { replaceContent } from "../../src/one-shot/durable-file.ts";
import { readGrubVariable, writeGrubVariable } from "../../src/one-shot/grub-environment.ts";
import { locate } from "../../src/one-shot/old-root.ts";
import {
  clearOneShot,
  detectOneShot,
  isOneShotPending,
  type OneShotRequest,
  type OneShotUndo,
  setOneShot,
} from "../../src/one-shot/one-shot.ts";
import { getXattr, setXattr } from "../../src/system/libc.ts";
import {
  attachLoopDevice,
  createLoopDevice,
  makeFileSystem,
  mountDevice,
  runTestCommand,
  temporaryDirectory,
} from "../support/loop-device.ts";
import { put } from "../support/make-disk.ts";
import { makeGrubConfig } from "../support/one-shot-disks.ts";

const MiB = 1 << 20;

/** An old root with GRUB on a file system of its own; `fill` changes it before `work` sees it. */
async function withOldRoot(
  type: "ext4" | "xfs" | "btrfs",
  sizeMiB: number,
  work: (root: string, request: OneShotRequest, backingFile: string) => Promise<void>,
  fill: (root: string) => void = () => {},
): Promise<void> {
  await using device = await createLoopDevice(sizeMiB * MiB);
  await makeFileSystem(device.path, type);
  await using mount = await mountDevice(device.path);
  await using files = await temporaryDirectory();
  const root = mount.dir;
  put(root, "/boot/grub/grub.cfg", makeGrubConfig());
  put(root, "/boot/grub/custom.cfg", "set colour=blue\n", 0o640);
  writeFileSync(join(root, "boot/grub/grubenv"), writeGrubVariable(null, "saved_entry", "old"));
  fill(root);
  const [kernelPath, initramfsPath] = ["vmlinuz", "initramfs.img"].map((name) => join(files.dir, name)) as [
    string,
    string,
  ];
  writeFileSync(kernelPath, Buffer.alloc(2 * MiB, "k"));
  writeFileSync(initramfsPath, Buffer.alloc(3 * MiB + 1, "i"));
  const configArchive = Buffer.from("the archive");
  const request = { root, kernelPath, initramfsPath, configArchive, commandLine: "quiet" };
  await work(root, request, device.backingFile);
}

/** Every file below /boot with its content. */
function contentOf(root: string): Record<string, string> {
  const names = readdirSync(join(root, "boot"), { recursive: true, encoding: "utf8" }).sort();
  return Object.fromEntries(
    names.map((name) => {
      const path = join(root, "boot", name);
      const facts = lstatSync(path);
      if (facts.isSymbolicLink()) return [name, readlinkSync(path)];
      return [name, facts.isDirectory() ? "directory" : readFileSync(path, "latin1")];
    }),
  );
}

test.each(["ext4", "xfs"] as const)("on %s all is set, and taken back", async (type) => {
  await withOldRoot(type, type === "xfs" ? 320 : 64, async (root, request) => {
    const before = contentOf(root);
    const kept: OneShotUndo[] = [];
    const keep = (sofar: OneShotUndo): void => {
      kept.push(sofar);
      const last = sofar.steps.at(-1);
      const isSwitch = last?.kind === "grub-next-entry";
      // Told before it is done: what is kept then can take back whatever a power cut leaves.
      if (isSwitch) expect(readGrubVariable(readFileSync(last.path), "next_entry")).toBeNull();
    };
    const undo: OneShotUndo = JSON.parse(JSON.stringify(await setOneShot({ ...request, method: "grub" }, keep)));
    expect(kept.at(-1)?.steps).toEqual(undo.steps);
    expect(kept).toHaveLength(undo.steps.length);
    expect(await isOneShotPending(undo)).toBe(true);
    const initramfs = readFileSync(join(root, "boot/reimage/initramfs.img"));
    expect(initramfs.length).toBe(3 * MiB + 4 + "the archive".length);
    expect(initramfs.subarray(3 * MiB).toString()).toBe("i\0\0\0the archive");
    expect(readFileSync(join(root, "boot/reimage/vmlinuz"))).toEqual(readFileSync(request.kernelPath));
    expect(statSync(join(root, "boot/reimage")).mode & 0o7777).toBe(0o700); // the configuration may hold a token
    expect(statSync(join(root, "boot/grub/custom.cfg")).mode & 0o7777).toBe(0o640);
    const uuid = (await runTestCommand(["findmnt", "-no", "UUID", root])).trim();
    const custom = readFileSync(join(root, "boot/grub/custom.cfg"), "utf8");
    expect(custom).toStartWith("set colour=blue\n");
    expect(custom).toContain(`--set=root ${uuid}\n`);
    expect(custom).toContain("'/boot/reimage/vmlinuz' 'quiet' 'panic=30'");
    const environment = readFileSync(join(root, "boot/grub/grubenv"));
    expect(readGrubVariable(environment, "next_entry")).toBe("reimage");
    expect(readGrubVariable(environment, "saved_entry")).toBe("old");

    const again = await setOneShot({ ...request, method: "grub", commandLine: "debug" });
    expect(readFileSync(join(root, "boot/grub/custom.cfg"), "utf8").match(/menuentry/g)).toHaveLength(1);
    await clearOneShot(again);
    expect(await isOneShotPending(undo)).toBe(false);
    await clearOneShot(undo);
    expect(contentOf(root)).toEqual(before);
  });
});

/** What the old OS finds after a power cut: what had reached the disk by then, with the journal replayed. */
async function afterPowerCut(diskAtThatTime: string): Promise<Record<string, string>> {
  const device = await attachLoopDevice(diskAtThatTime);
  try {
    await using mount = await mountDevice(device);
    return contentOf(mount.dir);
  } finally {
    await runTestCommand(["losetup", "--detach", device]);
  }
}

test("the switch is the last thing that reaches the disk, and it is there when all is said to be done", async () => {
  await withOldRoot("ext4", 64, async (root, request, backingFile) => {
    await runTestCommand(["sync", "-f", root]);
    const beforeSwitch = `${backingFile}.before`;
    const keep = ({ steps }: OneShotUndo): void => {
      if (steps.at(-1)?.kind === "grub-next-entry") copyFileSync(backingFile, beforeSwitch);
    };
    await setOneShot({ ...request, method: "grub" }, keep);
    const afterSwitch = `${backingFile}.after`;
    copyFileSync(backingFile, afterSwitch);
    const [before, after, now] = [await afterPowerCut(beforeSwitch), await afterPowerCut(afterSwitch), contentOf(root)];
    expect(Object.keys(after)).toEqual(Object.keys(now));
    for (const [name, content] of Object.entries(now)) {
      expect(after[name] === content ? "whole" : `${name} is not whole after it`).toBe("whole");
      if (name === "grub/grubenv") expect(before[name]).not.toContain("next_entry");
      else expect(before[name] === content ? "whole" : `${name} is not whole before it`).toBe("whole");
    }
  });
});

test("without room nothing is changed, and the numbers are told", async () => {
  await withOldRoot("ext4", 8, async (root, request) => {
    const before = contentOf(root);
    const failed = await setOneShot({ ...request, method: "grub" }).catch((error: Error) => error.message);
    expect(failed).toMatch(/need 7 MiB in .*boot; \d MiB are free/);
    expect(contentOf(root)).toEqual(before);
  });
});

test("what fails in the middle is taken back", async () => {
  await withOldRoot("ext4", 64, async (root, request) => {
    mkdirSync(join(root, "boot/reimage/initramfs.img"), { recursive: true }); // no file can have its place
    const failed = await setOneShot({ ...request, method: "grub" }).catch((error: Error) => error);
    expect(failed).toBeInstanceOf(Error);
    expect(readdirSync(join(root, "boot/reimage"))).toEqual(["initramfs.img"]);
    expect(readGrubVariable(readFileSync(join(root, "boot/grub/grubenv")), "next_entry")).toBeNull();
  });
});

test("what somebody else has set meanwhile stays", async () => {
  await withOldRoot("ext4", 64, async (root, request) => {
    const undo = await setOneShot({ ...request, method: "grub" });
    const path = join(root, "boot/grub/grubenv");
    writeFileSync(path, writeGrubVariable(readFileSync(path), "next_entry", "memtest"));
    put(root, "/boot/grub/custom.cfg", `${readFileSync(join(root, "boot/grub/custom.cfg"), "utf8")}set size=1\n`);
    put(root, "/boot/reimage/of-the-operator", "");
    await clearOneShot(undo);
    expect(readGrubVariable(readFileSync(path), "next_entry")).toBe("memtest");
    expect(readFileSync(join(root, "boot/grub/custom.cfg"), "utf8")).toBe("set colour=blue\nset size=1\n");
    expect(readdirSync(join(root, "boot/reimage"))).toEqual(["of-the-operator"]);
  });
});

test("on btrfs, where GRUB cannot forget the entry, it is refused", async () => {
  await withOldRoot("btrfs", 128, async (root, request) => {
    const { refused } = await detectOneShot(root);
    expect(refused.find(({ method }) => method === "grub")?.reason).toContain("btrfs");
    const failed = await setOneShot({ ...request, method: "grub" }).catch((error: Error) => error.message);
    expect(failed).toContain("would boot it for ever");
  });
});

test("a /boot that is a part of a file system is refused", async () => {
  await withOldRoot("ext4", 64, async (root) => {
    await using elsewhere = await temporaryDirectory();
    await runTestCommand(["mount", "--bind", join(root, "boot"), elsewhere.dir]);
    try {
      await using outer = await temporaryDirectory();
      mkdirSync(join(outer.dir, "boot"));
      await runTestCommand(["mount", "--bind", elsewhere.dir, join(outer.dir, "boot")]);
      try {
        const { refused } = await detectOneShot(outer.dir);
        expect(refused.find(({ method }) => method === "grub")?.reason).toContain("a part of a file system");
      } finally {
        await runTestCommand(["umount", join(outer.dir, "boot")]);
      }
    } finally {
      await runTestCommand(["umount", elsewhere.dir]);
    }
  });
});

test("Fedora's layout: an entry file that sorts last, and grubenv behind a link that stays one", async () => {
  const linked = (root: string): void => {
    const config = makeGrubConfig()
      .replace(/^ *source .*custom.cfg$/gm, "true")
      .replace(/^menuentry[\s\S]*?\n}\n/m, "blscfg\n");
    rmSync(join(root, "boot/grub"), { recursive: true });
    put(root, "/boot/grub2/grub.cfg", config);
    put(root, "/boot/loader/entries/f00d-6.1.conf", "title Fedora\n");
    mkdirSync(join(root, "boot/env"));
    writeFileSync(join(root, "boot/env/grubenv"), writeGrubVariable(null, "saved_entry", "f00d-6.1"));
    symlinkSync("/boot/env/grubenv", join(root, "boot/grub2/grubenv")); // not of the machine that looks at it
  };
  await withOldRoot(
    "ext4",
    64,
    async (root, request) => {
      const before = contentOf(root);
      const undo = await setOneShot(request);
      expect(undo.method).toBe("grub-bls");
      const entry = readFileSync(join(root, "boot/loader/entries/AA-reimage.conf"), "utf8");
      expect(entry).toContain(
        "linux /boot/reimage/vmlinuz\ninitrd /boot/reimage/initramfs.img\noptions quiet panic=30\n",
      );
      expect(readGrubVariable(readFileSync(join(root, "boot/env/grubenv")), "next_entry")).toBe("AA-reimage");
      expect(lstatSync(join(root, "boot/grub2/grubenv")).isSymbolicLink()).toBe(true);
      await clearOneShot(undo);
      expect(contentOf(root)).toEqual(before);
    },
    linked,
  );
});

test("a replaced file keeps its mode, owner and attributes, and leaves nothing beside it", async () => {
  await withOldRoot("ext4", 64, async (root) => {
    const path = join(root, "boot/grub/grubenv");
    chownSync(path, 1500, 1600);
    chmodSync(path, 0o4640);
    setXattr(path, "security.selinux", Buffer.from("system_u:object_r:boot_t:s0\0"));
    writeFileSync(join(root, "boot/grub/.grubenv.reimage-new"), "left by a power cut");
    await replaceContent(path, "new");
    const { uid, gid, mode } = statSync(path);
    expect([uid, gid, mode & 0o7777]).toEqual([1500, 1600, 0o4640]);
    expect(getXattr(path, "security.selinux").toString()).toBe("system_u:object_r:boot_t:s0\0");
    expect(readFileSync(path, "utf8")).toBe("new");
    expect(readdirSync(join(root, "boot/grub")).sort()).toEqual(["custom.cfg", "grub.cfg", "grubenv"]);
  });
});

test("links of the old OS lead nowhere else", async () => {
  await using temporary = await temporaryDirectory();
  const root = temporary.dir;
  mkdirSync(join(root, "a/b"), { recursive: true });
  symlinkSync("/a", join(root, "absolute"));
  symlinkSync("../../../../a/b", join(root, "a/up"));
  symlinkSync("loop", join(root, "loop"));
  expect(await locate(root, "/absolute/b/c")).toBe(join(root, "a/b/c"));
  expect(await locate(root, "/a/up")).toBe(join(root, "a/b"));
  expect(await locate(root, "/../etc/../a")).toBe(join(root, "a"));
  expect(await locate(root, "/loop")).toBe(join(root, "loop"));
  expect(await locate("/", "/")).toBe("/");
});
