/** What was restored is compared with what was saved, and every difference is found. */
import { expect, test } from "bun:test";
import { rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ReimageError } from "../../src/errors.ts";
import { restoreRetained } from "../../src/retention/restore.ts";
import { verifyRestored } from "../../src/retention/verify-restored.ts";
import { makeNode } from "../../src/system/libc.ts";
import { runTestCommand } from "../support/loop-device.ts";
import { makeFiles, makeRoots, save } from "../support/retained.ts";

async function restored() {
  const roots = await makeRoots();
  await makeFiles(roots.oldRoot, ["d/file = content", "d/other = twin", "d/empty/", "d/link -> file", "moved = 1"]);
  await runTestCommand(["truncate", "--size=1G", join(roots.oldRoot, "d/holes")]);
  await runTestCommand(["ln", join(roots.oldRoot, "d/other"), join(roots.oldRoot, "d/twin")]);
  makeNode(join(roots.oldRoot, "d/fifo"), 0o010644, 0n);
  const archive = await save(roots.oldRoot, "/d\n@move /moved -> /e/moved\n", roots.workDir);
  await restoreRetained(archive, roots.newRoot);
  return { ...roots, archive };
}

test("what was just restored is right", async () => {
  await using roots = await restored();
  await verifyRestored(roots.archive, roots.newRoot);
});

const damages: readonly (readonly [string, string, (path: string) => Promise<unknown>])[] = [
  ["a changed byte", "d/file", (path) => writeFile(path, "c0ntent")],
  ["a byte more", "d/file", (path) => writeFile(path, "content!")],
  ["a byte less", "d/file", (path) => truncate(path, 6)],
  ["a hole more", "d/holes", (path) => truncate(path, 2 ** 30 + 1)],
  ["a file that is gone", "e/moved", (path) => rm(path)],
  ["a further name that is gone", "d/twin", (path) => rm(path)],
  ["a directory that is gone", "d/empty", (path) => rm(path, { recursive: true })],
  ["a link to elsewhere", "d/link", (path) => rm(path).then(() => symlink("other", path))],
  ["a link instead of the file", "d/file", (path) => rm(path).then(() => symlink("other", path))],
  ["a file instead of the FIFO", "d/fifo", (path) => rm(path).then(() => writeFile(path, ""))],
];
for (const [name, path, damage] of damages) {
  test(`${name} is found`, async () => {
    await using roots = await restored();
    await damage(join(roots.newRoot, path));
    const error = await verifyRestored(roots.archive, roots.newRoot).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(ReimageError);
    expect(error).toMatchObject({ code: "readback" });
    expect(error.message).toContain(`/${path}`);
  });
}
