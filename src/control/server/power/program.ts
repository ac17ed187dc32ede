/** Runs one program with a time limit. It ends with a result whatever the program does. */
import { type ProgramEnd, startProgram } from "../../../system/commands.ts";

export interface ProgramOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutSeconds: number;
  readonly signal?: AbortSignal | undefined;
}

/** What came of a program. `stopped` says why it was ended from here; null: it ended by itself. */
export interface ProgramResult extends ProgramEnd {
  readonly stopped: "timeout" | "cancelled" | null;
}

const MAX_OUTPUT_BYTES = 1 << 20;
/** How long the killed are waited for. Longer lasts only what left the process group and holds on to the output. */
const GRACE_MS = 1000;
const nothing: ProgramEnd = { exitCode: null, signal: null, problem: null, stdout: "", stderr: "" };

/** Runs a program until it ends, its time is over or `signal` says stop; then it and all it started are killed. */
export async function runProgram(
  program: string,
  args: readonly string[],
  { env, timeoutSeconds, signal }: ProgramOptions,
): Promise<ProgramResult> {
  if (signal?.aborted) return { ...nothing, stopped: "cancelled" };
  const subprocess = startProgram(program, args, { env, maxOutputBytes: MAX_OUTPUT_BYTES });
  const stop = Promise.withResolvers<"timeout" | "cancelled">();
  const timer = setTimeout(() => stop.resolve("timeout"), timeoutSeconds * 1000);
  const cancel = () => stop.resolve("cancelled");
  signal?.addEventListener("abort", cancel);
  try {
    const first = await Promise.race([subprocess.ended, stop.promise]);
    if (typeof first === "object") return { ...first, stopped: null };
    killGroup(subprocess.pid);
    const end = await Promise.race([subprocess.ended, Bun.sleep(GRACE_MS).then(() => nothing)]);
    return { ...end, stopped: first };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", cancel);
    subprocess.abandon();
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // ended in the meantime
  }
}
