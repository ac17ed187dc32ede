/** Runs the program as its users do. */
import { existsSync, readFileSync } from "node:fs";
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

/** How to call the program. */
export interface CliOptions {
  /** Commands that the program shall not find, as if they were not installed. */
  readonly without?: readonly string[];
}

/**
 * Hides commands from one process and its children: in a mount namespace of their own, something that cannot be
 * executed lies over each. exec keeps the process id, so a kill reaches the program itself.
 */
const hideCommands = `while [ "$1" != -- ]; do mount --bind /dev/null "$1"; shift; done; shift; exec "$@"`;

function hiding(commands: readonly string[]): string[] {
  if (commands.length === 0) return [];
  const directories = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
  const paths = commands.flatMap((name) => directories.map((directory) => join(directory, name)));
  return ["unshare", "--mount", "sh", "-ec", hideCommands, "sh", ...paths.filter((path) => existsSync(path)), "--"];
}

/** Starts `reimage <args>` from its source. */
export function startCli(args: readonly string[], options: CliOptions = {}): CliProcess {
  const program = [process.execPath, join(projectDir, "src", "main.ts"), ...args];
  const subprocess = Bun.spawn([...hiding(options.without ?? []), ...program], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  async function finish(): Promise<CliResult> {
    const [stdout, stderr] = await Promise.all([
      new Response(subprocess.stdout).text(),
      new Response(subprocess.stderr).text(),
    ]);
    await subprocess.exited;
    return {
      exitCode: subprocess.exitCode ?? -1,
      signal: subprocess.signalCode === null ? null : String(subprocess.signalCode),
      stdout,
      stderr,
    };
  }
  return { pid: subprocess.pid, kill: () => subprocess.kill("SIGKILL"), finished: finish() };
}

/** Runs `reimage <args>` to its end. */
export function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  return startCli(args, options).finished;
}

/** The report.json of a run. */
export function readReport(workDir: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(workDir, "report.json"), "utf8"));
}
