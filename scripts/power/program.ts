/** Compiles reimage from a copy of the sources, as the Makefile does. */
import { resolve } from "node:path";
import { shell } from "../kiosk/cache.ts";

/** @param root holds src/, node_modules/ and what of build/ goes into the program. */
export async function compileProgram(root: string, program: string): Promise<void> {
  const options = [
    "--minify-syntax",
    "--minify-whitespace",
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
  ];
  const compile = [
    "build",
    "--compile",
    "--bytecode",
    "--format=esm",
    "--target=bun-linux-x64-baseline",
    `--compile-executable-path=${process.execPath}`,
  ];
  await shell({ cwd: root })`${process.execPath} ${compile} ${options} --outfile=${resolve(program)} src/main.ts`;
}
