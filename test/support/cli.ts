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
  /** Executables that the program shall find in the place of these commands. */
  readonly instead?: Readonly<Record<string, string>>;
}

/**
 * Hides or replaces commands for one process and its children: in a mount namespace of their own, something else lies over
 * each; what cannot be executed is as good as nothing. exec keeps the process id, so a kill reaches the program itself.
 */
const coverCommands = `while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done; shift; exec "$@"`;

function covering({ without = [], instead = {} }: CliOptions): string[] {
  const covers = [...without.map((name) => [name, "/dev/null"] as const), ...Object.entries(instead)];
  if (covers.length === 0) return [];
  const directories = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
  const pairs = covers.flatMap(([name, cover]) =>
    directories
      .map((directory) => join(directory, name))
      .filter((path) => existsSync(path))
      .flatMap((path) => [cover, path]),
  );
  return ["unshare", "--mount", "sh", "-ec", coverCommands, "sh", ...pairs, "--"];
}

/** Starts `reimage <args>` from its source. */
export function startCli(args: readonly string[], options: CliOptions = {}): CliProcess {
  const program = [process.execPath, join(projectDir, "src", "main.ts"), ...args];
  const subprocess = Bun.spawn([...covering(options), ...program], {
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
