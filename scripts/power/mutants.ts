/**
 * Changes of the program that make it lose machines: each takes one safety away, and the sweep has to notice. A mutant is
 * compiled from a copy of the sources; the checkout is left alone.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Phase } from "./phases.ts";
import { compileProgram } from "./program.ts";

export interface Mutant {
  readonly name: string;
  /** In words: which safety is gone. */
  readonly without: string;
  /** Where in the run it is dangerous, so that it is caught soon. */
  readonly phase: Phase;
  readonly changes: readonly Change[];
  /** Where the changes bring a fault along that the safety is there for: the fault alone, which must lead back to the old system. */
  readonly control?: readonly Change[];
}

/** One text in one file, which must be there just once, becomes another. */
export interface Change {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const readBack = `      await device.sync();
      const found = await digestRegions(device, regions, parcel.sizeBytes);
      if (found !== parcel.sha256) throw notAsWritten(device.path, "what was parked");
`;
const loseASector = `      if (room === this.header.layout.retained) await device.writeDirectAt(alignedBuffer(4096), regions[0]!.offsetBytes);
`;

export const mutants: readonly Mutant[] = [
  {
    name: "no-flush-before-switching",
    without: "what the lifeboat holds is not flushed before the sector that boots it is written (lifeboat in a gap)",
    phase: "switching",
    changes: [
      {
        file: "src/lifeboat/places/gap.ts",
        find: "sync: () => device.sync(),\n        seal: () => device.sync(),",
        replace: "sync: async () => {},\n        seal: async () => {},",
      },
    ],
  },
  {
    name: "commit-before-body",
    without: "the new system's boot sectors are written before its body",
    phase: "writing",
    changes: [
      {
        file: "src/stages/write.ts",
        find: "  const body = await writeBody(image, device, context);\n",
        // The body is decoded without being written, to have the first MiB; then it is written.
        replace: `  const idle = ["writeAt", "writeDirectAt", "zeroRange", "sync"];
  const dry: any = new Proxy(device, {
    get(of: any, key: string) {
      if (idle.includes(key)) return async () => {};
      return typeof of[key] === "function" ? of[key].bind(of) : of[key];
    },
  });
  const early = await writeBody(image, dry, context);
  await context.bootSectors.commit(device, early.head, saved.table);
  const body = await writeBody(image, device, context);
`,
      },
    ],
  },
  {
    name: "record-in-one-copy",
    without: "the state record is written over itself, and a torn write leaves only the first of all, `armed`",
    phase: "writing",
    changes: [
      {
        file: "src/lifeboat/lifeboat.ts",
        find: "this.#nextCopy = copy === 0 ? 1 : 0;",
        replace: "this.#nextCopy = copy;",
      },
    ],
  },
  {
    name: "archive-not-read-back",
    without: "what was parked is not read back, on a disk that loses a sector of it without a word",
    phase: "writing",
    changes: [
      { file: "src/lifeboat/lifeboat.ts", find: readBack, replace: `${loseASector}      await device.sync();\n` },
    ],
    control: [{ file: "src/lifeboat/lifeboat.ts", find: readBack, replace: `${loseASector}${readBack}` }],
  },
];

/** What a file becomes (pure). @throws Error where the text is not there just once: the mutant has to be written anew. */
export function applyChange(content: string, { file, find, replace }: Change): string {
  const count = content.split(find).length - 1;
  if (count !== 1) throw new Error(`${file} holds the text of the mutant ${count} times, not once: ${find}`);
  return content.replace(find, () => replace);
}

/** @throws Error for a name that none has. */
export function findMutant(name: string): Mutant {
  const mutant = mutants.find((known) => known.name === name);
  if (mutant !== undefined) return mutant;
  throw new Error(`there is no mutant ${name}; there are: ${mutants.map((known) => known.name).join(", ")}`);
}

/** Compiles the program with changes, as `name`. @returns its path. */
export async function changedProgram(name: string, changes: readonly Change[]): Promise<string> {
  const folder = resolve("build/power/mutants");
  mkdirSync(folder, { recursive: true });
  const program = join(folder, name);
  const copy = mkdtempSync(join(tmpdir(), "reimage-mutant-"));
  try {
    copySources(".", copy);
    for (const change of changes) {
      const path = join(copy, change.file);
      writeFileSync(path, applyChange(readFileSync(path, "utf8"), change));
    }
    rmSync(program, { force: true });
    await compileProgram(copy, program);
    if (!existsSync(program)) throw new Error(`${name} was not compiled`);
    return program;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** What the program is compiled from. */
function copySources(from: string, to: string): void {
  for (const name of ["src", "initramfs", "package.json", "tsconfig.json", "build/dashboard", "build/loaders"])
    cpSync(join(from, name), join(to, name), { recursive: true });
  symlinkSync(resolve(from, "node_modules"), join(to, "node_modules"));
}
