/** Runs the external commands of `initramfs/tools.ts`. Exit status, signal and stderr of each one count. */
import { read as readFromFd } from "node:fs";
import type { Writable } from "node:stream";
import { promisify } from "node:util";
import { execa } from "execa";
import { type ToolName, tools } from "../../initramfs/tools.ts";
import { type ErrorCode, ReimageError } from "../errors.ts";
import { closeFd, openPipe } from "./libc.ts";

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

/**
 * Runs a command over bytes that are in memory, and returns all that it makes of them: for pieces, several at a time.
 * Unlike `startFilter` it holds no thread while it waits.
 * @throws ReimageError (code `command` unless `options.code` says otherwise) where it ends badly or complains.
 */
export async function filterBytes(
  name: ToolName,
  args: readonly string[],
  input: Uint8Array,
  options: RunOptions = {},
): Promise<Uint8Array> {
  const output = { stdout: "pipe", encoding: "buffer", maxBuffer: 2 ** 30 } as const;
  const result = await execa(name, args, { reject: false, input, ...output, env: environment, extendEnv: false });
  const stderr = Buffer.from(result.stderr).toString();
  if (result.exitCode === 0 && stderr === "") return result.stdout;
  throw commandError(name, args, { ...result, stderr }, options);
}

/** How a program ended. `exitCode` and `signal` are null where there is none; `problem` is the reason of neither. */
export interface ProgramEnd {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly problem: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Starts a program that an operator named: none of ours, so no list of tools holds it. It leads a process group of its own,
 * so that what it starts can be ended with it. More than `maxOutputBytes` of output end it. `ended` never rejects.
 */
export function startProgram(
  program: string,
  args: readonly string[],
  options: { readonly env: Readonly<Record<string, string>>; readonly maxOutputBytes: number },
): { readonly pid: number | undefined; readonly ended: Promise<ProgramEnd>; abandon(): void } {
  const subprocess = execa(program, args, {
    reject: false,
    stdin: "ignore",
    detached: true,
    maxBuffer: options.maxOutputBytes,
    env: { ...environment, ...options.env },
    extendEnv: false,
  });
  const ended = subprocess.then((result) => ({
    exitCode: result.exitCode ?? null,
    signal: result.signal ?? null,
    problem: result.isMaxBuffer ? "printed too much" : (result.originalMessage ?? null),
    stdout: result.stdout,
    stderr: result.stderr,
  }));
  const abandon = () => {
    subprocess.stdout.destroy();
    subprocess.stderr.destroy();
  };
  return { pid: subprocess.pid, ended, abandon };
}

/** A command that turns bytes into bytes. Disposing ends it, whatever it is doing. */
export interface Filter extends AsyncDisposable {
  /**
   * Fills `buffer` with what comes next, and returns how much that was: less than asked for only where the command has
   * ended well.
   * @throws ReimageError naming its exit status, signal or stderr where it ended badly; the input's own error where that
   * is why.
   */
  read(buffer: Uint8Array): Promise<number>;
}

/** Room in the pipe: large enough that the command and its reader need not take turns. */
const PIPE_BYTES = 1 << 20;

/**
 * Starts a command as a filter of `input`. Nothing is buffered beyond the pipes: a slow reader slows the command, and that
 * the input. Its output is read into the caller's buffer, without a copy in between.
 */
export function startFilter(
  name: ToolName,
  args: readonly string[],
  input: AsyncIterable<Uint8Array>,
  options: RunOptions = {},
): Filter {
  const { readFd, writeFd } = openPipe(PIPE_BYTES);
  const subprocess = execa(name, args, {
    reject: false,
    stdin: "pipe",
    stdout: [writeFd as 1],
    env: environment,
    extendEnv: false,
  });
  closeFd(writeFd); // the command has its own copy
  let inputError: unknown = null;
  const fed = feed(input, subprocess.stdin).catch((error: unknown) => {
    inputError = error;
    subprocess.kill("SIGKILL");
  });
  let reading: Promise<unknown> = Promise.resolve();

  async function requireSuccess(): Promise<void> {
    await fed;
    const result = await subprocess;
    if (inputError !== null) throw inputError;
    if (result.exitCode !== 0 || result.stderr !== "") throw commandError(name, args, result, options);
  }

  return {
    async read(buffer) {
      let filledBytes = 0;
      while (filledBytes < buffer.length) {
        const part = readPipe(readFd, buffer, filledBytes);
        reading = part.catch(() => {});
        const partBytes = await part;
        if (partBytes === 0) {
          await requireSuccess();
          break;
        }
        filledBytes += partBytes;
      }
      return filledBytes;
    },
    async [Symbol.asyncDispose]() {
      subprocess.kill("SIGKILL");
      await Promise.all([subprocess, fed, reading]); // what reads from a descriptor must have ended before it is closed
      closeFd(readFd);
    },
  };
}

const readPipe = promisify(
  (fd: number, buffer: Uint8Array, from: number, done: (error: Error | null, bytesRead: number) => void) =>
    readFromFd(fd, buffer, from, buffer.length - from, null, done),
);

/**
 * Writes the input piece by piece. A command that does not want all of it is judged by how it ends: the input is not waited
 * for then, since it may come from a server that is silent.
 */
async function feed(input: AsyncIterable<Uint8Array>, stdin: Writable): Promise<void> {
  let isClosed = false;
  const closed = Promise.withResolvers<null>();
  const close = () => {
    isClosed = true;
    closed.resolve(null);
  };
  stdin.on("error", close);
  stdin.on("close", close);
  const iterator = input[Symbol.asyncIterator]();
  for (;;) {
    if (isClosed) {
      await iterator.return?.();
      return;
    }
    const next = iterator.next();
    const piece = await Promise.race([next, closed.promise]);
    if (piece === null) {
      // Ends once what it waits for has come, or its source is closed; nobody wants to know how.
      next.then(() => iterator.return?.()).catch(() => {});
      return;
    }
    if (piece.done === true) break;
    // The piece is only lent, so it has to be gone before the next one is asked for.
    await new Promise<void>((resolve) => {
      stdin.write(piece.value, () => resolve());
    });
  }
  await new Promise<void>((resolve) => {
    stdin.end(() => resolve());
  });
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
