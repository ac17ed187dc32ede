/** A process that restores an archive and kills itself in the middle: `restore-and-die.ts ARCHIVE.json ROOT STEP`. */
import { readFile } from "node:fs/promises";
import type { RetainedArchive } from "../../src/retention/entry.ts";
import { restoreRetained } from "../../src/retention/restore.ts";

const [archiveFile = "", newRoot = "", step = ""] = process.argv.slice(2);
let stepsLeft = Number(step);
await restoreRetained(JSON.parse(await readFile(archiveFile, "utf8")) as RetainedArchive, newRoot, {
  onProgress() {
    stepsLeft -= 1;
    if (stepsLeft === 0) process.kill(process.pid, "SIGKILL");
  },
});
