/** Everything that a file can be comes back exactly, on each file system; and GNU tar reads the archive. */
import { describe, expect, test } from "bun:test";
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { archiveRetained, verifyArchive } from "../../src/retention/archive.ts";
import { parseRetentionList } from "../../src/retention/list.ts";
import { restoreRetained } from "../../src/retention/restore.ts";
import { selectRetained } from "../../src/retention/select.ts";
import { type FileFacts, readAllFacts } from "../support/file-facts.ts";
import {
  createLoopDevice,
  makeFileSystem,
  mountDevice,
  runTestCommand,
  temporaryDirectory,
} from "../support/loop-device.ts";
import { makeOldOs } from "../support/old-os-tree.ts";

const SIZE_BYTES = 400 * 1024 ** 2;
const readOnly = { ext4: ["ro", "noload"], xfs: ["ro", "norecovery"], btrfs: ["ro"] } as const;

for (const type of ["ext4", "xfs", "btrfs"] as const) {
  describe(type, () => {
    test("a round trip, twice, and GNU tar", async () => {
      await using oldDevice = await createLoopDevice(SIZE_BYTES);
      await using newDevice = await createLoopDevice(SIZE_BYTES);
      await using work = await temporaryDirectory();
      await makeFileSystem(oldDevice.path, type);
      await makeFileSystem(newDevice.path, type);
      const paths = await populate(oldDevice.path);
      await using oldOs = await mountDevice(oldDevice.path, undefined, readOnly[type]);
      await using newOs = await mountDevice(newDevice.path);
      await mkdir(join(newOs.dir, "kiosk/links/d"), { recursive: true }); // the new OS has some of it already
      await writeFile(join(newOs.dir, "kiosk/acl"), "of the new OS");
      await runTestCommand(["setfacl", "-d", "-m", "u:7:rwx", join(newOs.dir, "kiosk")]);
      await runTestCommand(["setfacl", "-m", "u:7:rwx", join(newOs.dir, "kiosk/acl")]);

      const selection = await selectRetained(oldOs.dir, parseRetentionList("/kiosk\n", "list"));
      expect(selection.entries.map((entry) => entry.path.toString("latin1")).toSorted()).toEqual(
        paths.map((path) => path.toString("latin1")).toSorted(),
      );
      const archive = await archiveRetained(selection, oldOs.dir, join(work.dir, "retained.tar"));
      await verifyArchive(archive);
      expect(archive.sizeBytes + (await stat(archive.indexPath)).size).toBeLessThanOrEqual(selection.totalBytes);
      expect(archive.count).toBe(paths.length);

      const expected = await readAllFacts(oldOs.dir, paths);
      for (const round of ["first", "second"]) {
        const summary = await restoreRetained(archive, newOs.dir);
        expect(summary).toEqual({ count: paths.length, contentBytes: archive.contentBytes, failures: [] });
        expect({ round, facts: await look(newOs.dir, paths) }).toEqual({ round, facts: expected });
      }
      await newOs.unmount();
      await using again = await mountDevice(newDevice.path, undefined, ["noatime"]); // what the disk holds, not what the cache remembers
      expect(await readAllFacts(again.dir, paths)).toEqual(expected);

      const listed = await runTestCommand(["tar", "--list", "--verbose", "--file", archive.archivePath]);
      expect(listed.trimEnd().split("\n")).toHaveLength(paths.length);
      const extracted = join(again.dir, "extracted");
      await mkdir(extracted);
      const flags = [
        "--xattrs",
        "--xattrs-include=*",
        "--acls",
        "--selinux",
        "--numeric-owner",
        "--preserve-permissions",
      ];
      await runTestCommand(["tar", "--extract", "--sparse", ...flags, "--file", archive.archivePath, "-C", extracted]);
      expect(withoutAccessTimes(await readAllFacts(extracted, paths))).toEqual(withoutAccessTimes(expected));
      const differences = await runTestCommand([
        "tar",
        "--compare",
        "--exclude=sparse",
        "--file",
        archive.archivePath,
        "-C",
        again.dir,
      ]);
      expect(differences).toBe("");
      expect(await readdir(again.dir)).not.toContain(".reimage-temporary");
    }, 120_000);
  });
}

/** Looking at a symbolic link changes its access time, restoring does not. */
async function look(dir: string, paths: readonly Buffer[]): Promise<Record<string, FileFacts>> {
  await runTestCommand(["mount", "-o", "remount,noatime", dir]);
  const facts = await readAllFacts(dir, paths);
  await runTestCommand(["mount", "-o", "remount,strictatime", dir]);
  return facts;
}

async function populate(device: string): Promise<Buffer[]> {
  await using mounted = await mountDevice(device);
  return await makeOldOs(mounted.dir);
}

/** GNU tar does not restore access times. */
function withoutAccessTimes(all: Readonly<Record<string, FileFacts>>): unknown {
  return Object.fromEntries(Object.entries(all).map(([path, { accessed: _accessed, ...facts }]) => [path, facts]));
}
