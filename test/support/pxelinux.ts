/** A TFTP root as the layout of PXE Pilot has it, and what keeps it. */
import { chmod, mkdir, readdir, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openPxelinuxDirectory, type PxelinuxOptions } from "../../src/control/server/pxelinux/directory.ts";
import type { OneShot } from "../../src/control/server/pxelinux/names.ts";
import { temporaryDirectory } from "./loop-device.ts";

/** What the configuration of that name holds: more than two blocks of TFTP, so that half of it would be noticed. */
export function configurationText(name: string): string {
  return `# ${name}\n${`LABEL ${name}\n  LOCALBOOT 0\n`.repeat(60)}# end of ${name}\n`;
}

/** A root with `pxelinux.cfg/conf/<name>`, readable for everybody, in a new directory or in `dir`. */
export async function makeTftpRoot(names: readonly string[] = ["local", "install", "grml-2017.05"], dir?: string) {
  const temporary = dir === undefined ? await temporaryDirectory() : { dir, [Symbol.asyncDispose]: async () => {} };
  const root = temporary.dir;
  await chmod(root, 0o755);
  const links = join(root, "pxelinux.cfg");
  const configurationsDir = join(links, "conf");
  await mkdir(configurationsDir, { recursive: true });
  for (const name of names) await writeFile(join(configurationsDir, name), configurationText(name), { mode: 0o644 });
  return {
    root,
    links,
    configurationsDir,
    /** What lies in pxelinux.cfg, with the text of each link. */
    async listing(): Promise<Record<string, string>> {
      const found: Record<string, string> = {};
      for (const name of (await readdir(links)).sort()) {
        found[name] = await readlink(join(links, name)).catch(() => "(no link)");
      }
      return found;
    },
    /** Opens it with short times; `reads` collects what was reported. */
    async open(options: Partial<PxelinuxOptions> = {}) {
      const reads: OneShot[] = [];
      const directory = await openPxelinuxDirectory({
        root,
        configurationsDir,
        retryWindowMs: 0,
        onRead: async (read) => void reads.push(read),
        ...options,
      });
      return Object.assign(directory, { reads });
    },
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  };
}

/** Waits for something that will come; a test that waits in vain runs into its time limit. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await Bun.sleep(20);
}

/** Fifty hosts of two network cards each. */
export function fiftyHosts(): string[][] {
  return Array.from({ length: 50 }, (_, host) => {
    const digits = host.toString(16).padStart(2, "0");
    return [`52:54:00:00:00:${digits}`, `52:54:00:00:01:${digits}`];
  });
}
