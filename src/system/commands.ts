/** Runs the external commands of `initramfs/tools.ts`. Exit status, signal and stderr of each one count. */
import { closeSync, openSync } from "node:fs";
import { execa } from "execa";
import { type ToolName, tools } from "../../initramfs/tools.ts";
import { type ErrorCode, ReimageError } from "../errors.ts";

/** How to run a command: the error code of its failure, and exit statuses that are answers rather than failures. */
export interface RunOptions {
  readonly code?: ErrorCode;
  readonly hint?: string;
  /** Exit statuses besides 0 that the caller understands. */
  readonly accept?: readonly number[];
}

/** What a command answered. */
export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

// LC_ALL=C keeps the messages parseable.
const environment = { LC_ALL: "C", PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" };

/**
 * Runs a command to its end and returns what it printed.
 * @throws ReimageError (code `command` unless `options.code` says otherwise) with the whole command line, how it ended
 * and its stderr.
 */
export async function runCommand(
  name: ToolName,
  args: readonly string[],
  options: RunOptions = {},
): Promise<CommandResult> {
  const result = await execa(name, args, { reject: false, stdin: "ignore", env: environment, extendEnv: false });
  const exitCode = result.exitCode ?? -1;
  if (exitCode === 0 || options.accept?.includes(exitCode)) {
    return { exitCode, stdout: result.stdout, stderr: result.stderr };
  }
  throw commandError(name, args, result, options);
}

/** A filter: a file in, bytes out, and a promise of how it ended. */
export interface Filter {
  readonly output: AsyncIterable<Uint8Array>;
  /** Resolves when the command ended well; throws a ReimageError that names its exit status, signal and stderr. */
  finished(): Promise<void>;
  /** Ends the command; `finished()` then throws, which a caller that stops early ignores. */
  stop(): Promise<void>;
}

/** Starts a command as a filter of a file. Nothing is buffered beyond the pipes: a slow reader slows the command. */
export function startFilter(
  name: ToolName,
  args: readonly string[],
  inputFile: string,
  options: RunOptions = {},
): Filter {
  const fd = openSync(inputFile, "r"); // the command reads by itself: the bytes need not pass through this process
  const subprocess = execa(name, args, {
    reject: false,
    buffer: { stdout: false, stderr: true },
    stdin: [fd as 0],
    env: environment,
    extendEnv: false,
  });
  closeSync(fd); // the command has its own copy
  return {
    output: subprocess.stdout as AsyncIterable<Uint8Array>,
    async finished() {
      const result = await subprocess;
      if (result.exitCode !== 0 || result.stderr !== "") throw commandError(name, args, result, options);
    },
    async stop() {
      subprocess.kill("SIGKILL");
      subprocess.stdout.destroy(); // whoever is still reading from it would keep the command's end from being noticed
      await subprocess;
    },
  };
}

function commandError(
  name: string,
  args: readonly string[],
  result: {
    exitCode?: number | undefined;
    signal?: string | undefined;
    stderr: string;
    originalMessage?: string | undefined;
  },
  options: RunOptions,
): ReimageError {
  const ending =
    result.signal !== undefined
      ? `was ended by ${result.signal}`
      : result.exitCode === undefined
        ? `could not be started (${result.originalMessage ?? "no reason given"})`
        : result.exitCode === 0
          ? "complained"
          : `ended with status ${result.exitCode}`;
  const complaint = result.stderr.trim() === "" ? "" : `: ${result.stderr.trim()}`;
  return new ReimageError(options.code ?? "command", `${[name, ...args].join(" ")} ${ending}${complaint}`, {
    ...(options.hint === undefined ? {} : { hint: options.hint }),
  });
}

/** Whether a command is installed. */
export function hasTool(name: ToolName): boolean {
  return Bun.which(name, { PATH: environment.PATH }) !== null;
}

/** The commands without which nothing works, that are not installed. */
export function missingTools(): string[] {
  return tools.filter((tool) => !("optional" in tool) && !hasTool(tool.name)).map((tool) => tool.name);
}
