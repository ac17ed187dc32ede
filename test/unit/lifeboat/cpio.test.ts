/** Archives for the kernel, as GNU cpio reads them. */
import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ReimageError } from "../../../src/errors.ts";
import { type ArchiveFile, newcArchive } from "../../../src/lifeboat/boot-volume/cpio.ts";
import { noise } from "../../support/boot-volume-disk.ts";
import { runTestCommand, temporaryDirectory } from "../../support/loop-device.ts";

const files: readonly ArchiveFile[] = [
  { path: "/etc/reimage/reimage.yaml", content: Buffer.from("log: /var/log\n"), mode: 0o600 },
  { path: "etc/reimage/parties/größe.txt", content: noise(4097, 1), mode: 0o644 },
  { path: "/init", content: noise(3, 2), mode: 0o4755 },
  { path: "/etc/empty", content: Buffer.alloc(0), mode: 0o400 },
];

test("GNU cpio lists and unpacks it", async () => {
  await using directory = await temporaryDirectory();
  const archive = newcArchive(files);
  const listing = await runTestCommand(["cpio", "-itv", "--quiet", "--numeric-uid-gid"], { stdin: archive });
  const lines = listing.trim().split("\n");
  const facts = lines.map((line) => line.replace(/^(\S+) +(\d+) 0 +0 +(\d+) .* (\S+)$/, "$1 $2 $3 $4"));
  expect(facts).toEqual([
    "drwxr-xr-x 2 0 etc",
    "-r-------- 1 0 etc/empty",
    "drwxr-xr-x 2 0 etc/reimage",
    "drwxr-xr-x 2 0 etc/reimage/parties",
    expect.stringMatching(/^-rw-r--r-- 1 4097 etc\/reimage\/parties\/gr/),
    "-rw------- 1 14 etc/reimage/reimage.yaml",
    "-rwsr-xr-x 1 3 init",
  ]);
  await runTestCommand(["cpio", "-idm", "--quiet", "--no-absolute-filenames"], { stdin: archive, cwd: directory.dir });
  for (const { path, content } of files)
    expect(await readFile(join(directory.dir, path))).toEqual(Buffer.from(content));
});

test("the same files give the same bytes, in whatever order; another archive may follow", () => {
  const archive = newcArchive(files);
  expect(newcArchive(files.toReversed())).toEqual(archive);
  expect(archive.length % 512).toBe(0);
});

test("a path that leads elsewhere is refused", () => {
  for (const path of ["", "/", "../etc/passwd", "/a/../b", "./a", "a\0b"]) {
    expect(() => newcArchive([{ path, content: Buffer.alloc(1), mode: 0o644 }])).toThrow(ReimageError);
  }
});
