/** Restoring is killed at many moments, runs out of space, and is run again. */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ReimageError } from "../../src/errors.ts";
import { archiveRetained } from "../../src/retention/archive.ts";
import { parseRetentionList } from "../../src/retention/list.ts";
import { restoreRetained } from "../../src/retention/restore.ts";
import { selectRetained } from "../../src/retention/select.ts";
import { readAllFacts } from "../support/file-facts.ts";
import {
  createLoopDevice,
  makeFileSystem,
  mountDevice,
  runTestCommand,
  temporaryDirectory,
} from "../support/loop-device.ts";
import { makeOldOs } from "../support/old-os-tree.ts";
import { makeFiles, makeRoots, save } from "../support/retained.ts";

const MIB = 1024 ** 2;

/** Kills a restore at its `step`th piece of content. */
async function restoreAndDie(archiveFile: string, newRoot: string, step: number): Promise<unknown> {
  const script = join(import.meta.dir, "../support/restore-and-die.ts");
  const child = Bun.spawn([process.execPath, script, archiveFile, newRoot, String(step)], {
    stdout: "inherit",
    stderr: "inherit",
  });
  await child.exited;
  return child.signalCode;
}

async function findTemporary(dir: string): Promise<string[]> {
  const found = await runTestCommand(["find", dir, "-name", ".reimage-temporary"]);
  return found.split("\n").filter((line) => line !== "");
}

test("killed at every tenth of the way, one after the other: no half file, and the next run completes it", async () => {
  await using oldDevice = await createLoopDevice(400 * MIB);
  await using newDevice = await createLoopDevice(400 * MIB);
  await using work = await temporaryDirectory();
  await makeFileSystem(oldDevice.path, "ext4");
  await makeFileSystem(newDevice.path, "ext4");
  await using oldOs = await mountDevice(oldDevice.path, undefined, ["noatime"]);
  await using newOs = await mountDevice(newDevice.path, undefined, ["noatime"]);
  const paths = await makeOldOs(oldOs.dir);
  await mkdir(join(newOs.dir, "kiosk"));
  const large = join(newOs.dir, "kiosk/large");
  const ofNewOs = Buffer.alloc(2 * MIB, "new");
  await writeFile(large, ofNewOs);
  const selection = await selectRetained(oldOs.dir, parseRetentionList("/kiosk\n", "list"));
  let steps = 0;
  const archive = await archiveRetained(selection, oldOs.dir, join(work.dir, "retained.tar"), {
    onProgress: () => {
      steps += 1;
    },
  });
  const archiveFile = join(work.dir, "archive.json");
  await writeFile(archiveFile, JSON.stringify(archive));
  const sha256 = (data: Buffer) => createHash("sha256").update(data).digest("hex");
  const whole = [sha256(ofNewOs), sha256(await readFile(join(oldOs.dir, "kiosk/large")))];
  const expected = await readAllFacts(oldOs.dir, paths);
  let leftHalf = 0;
  for (let tenth = 1; tenth <= 10; tenth++) {
    const step = Math.ceil((steps * tenth) / 10);
    expect(await restoreAndDie(archiveFile, newOs.dir, step)).toBe("SIGKILL");
    expect(whole).toContain(sha256(await readFile(large)));
    leftHalf += (await findTemporary(newOs.dir)).length;
  }
  expect(leftHalf).toBeGreaterThan(0); // it was killed in the middle of files
  await restoreRetained(archive, newOs.dir);
  expect(await readAllFacts(newOs.dir, paths)).toEqual(expected);
  expect(await findTemporary(newOs.dir)).toEqual([]);
}, 60_000);

test("a new file system that is too small: the file is named, what was there stays, and a larger one succeeds", async () => {
  await using roots = await makeRoots();
  await using device = await createLoopDevice(16 * MIB);
  await makeFileSystem(device.path, "ext4");
  await makeFiles(roots.oldRoot, ["k/a = small"]);
  await writeFile(join(roots.oldRoot, "k/b"), Buffer.alloc(32 * MIB, "big"));
  const archive = await save(roots.oldRoot, "/k\n", roots.workDir);
  await using newOs = await mountDevice(device.path);
  await makeFiles(newOs.dir, ["k/b = of the new OS"]);
  const free = (await statfs(newOs.dir)).bfree;
  const error = await restoreRetained(archive, newOs.dir).catch((e: unknown) => e);
  if (!(error instanceof ReimageError)) throw new Error(`not refused: ${JSON.stringify(error)}`);
  expect([error.code, error.message]).toEqual([
    "restore",
    "cannot restore /k/b in the new OS: the file system of the new OS is full (ENOSPC)",
  ]);
  expect(error.hint).toContain("the image and the retained files are still in RAM");
  expect(await readFile(join(newOs.dir, "k/b"), "utf8")).toBe("of the new OS");
  expect((await readdir(join(newOs.dir, "k"))).toSorted()).toEqual(["a", "b"]);
  expect(free - (await statfs(newOs.dir)).bfree).toBeLessThan(16);
  await restoreRetained(archive, roots.newRoot);
  expect((await readFile(join(roots.newRoot, "k/b"))).length).toBe(32 * MIB);
});

test("RAM that is too small for the retained files", async () => {
  await using roots = await makeRoots();
  await writeFile(join(roots.oldRoot, "big"), Buffer.alloc(8 * MIB, "big"));
  await runTestCommand(["mount", "-t", "tmpfs", "-o", "size=4m", "none", roots.workDir]);
  try {
    const error = await save(roots.oldRoot, "/big\n", roots.workDir).catch((e: unknown) => e);
    if (!(error instanceof ReimageError)) throw new Error(`not refused: ${JSON.stringify(error)}`);
    expect(error.code).toBe("retain");
    expect(error.message).toContain("there is no room for the retained files");
  } finally {
    await runTestCommand(["umount", roots.workDir]);
  }
});

test("a file that changes between selecting and saving", async () => {
  await using roots = await makeRoots();
  await makeFiles(roots.oldRoot, ["k/f = content"]);
  const selection = await selectRetained(roots.oldRoot, parseRetentionList("/k\n", "list"));
  for (const content of ["longer content", "short", "CONTENT"]) {
    await writeFile(join(roots.oldRoot, "k/f"), content);
    const error = await archiveRetained(selection, roots.oldRoot, join(roots.workDir, "retained.tar")).catch(
      (e: unknown) => e,
    );
    if (!(error instanceof ReimageError)) throw new Error(`not refused: ${JSON.stringify(error)}`);
    expect([error.code, error.message]).toEqual([
      "retain",
      expect.stringContaining("cannot save /k/f of the old OS: it changed while it was being saved"),
    ]);
  }
});
