/** Runs the program as its users do. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

const projectDir = join(import.meta.dir, "..", "..");

/** How a call of the program ended. */
export interface CliResult {
  readonly exitCode: number;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A call that is under way. */
export interface CliProcess {
  readonly pid: number;
  kill(): void;
  readonly finished: Promise<CliResult>;
}

/** Starts `reimage <args>` from its source. */
export function startCli(args: readonly string[], environment: Record<string, string> = {}): CliProcess {
  const subprocess = Bun.spawn([process.execPath, join(projectDir, "src", "main.ts"), ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...environment },
  });
  async function finish(): Promise<CliResult> {
    const [stdout, stderr] = await Promise.all([
      new Response(subprocess.stdout).text(),
      new Response(subprocess.stderr).text(),
    ]);
    await subprocess.exited;
    return { exitCode: subprocess.exitCode ?? -1, signal: subprocess.signalCode === null ? null : String(subprocess.signalCode), stdout, stderr };
  }
  return { pid: subprocess.pid, kill: () => subprocess.kill("SIGKILL"), finished: finish() };
}

/** Runs `reimage <args>` to its end. */
export function runCli(args: readonly string[], environment: Record<string, string> = {}): Promise<CliResult> {
  return startCli(args, environment).finished;
}

/** The report.json of a run. */
export function readReport(workDir: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(workDir, "report.json"), "utf8"));
}
