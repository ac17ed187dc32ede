/** A real PostgreSQL of a test's own: a cluster in a temporary directory, on a port of its own. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { execa } from "execa";
import { Client } from "pg";

export interface PostgresCluster extends AsyncDisposable {
  readonly pid: number;
  readonly dataDir: string;
  /** An empty database of its own, as a URL. */
  createDatabase(): Promise<string>;
  /** Stops the server at once, as a crash would; `start` brings it back with the same data and port. */
  crash(): Promise<void>;
  start(): Promise<void>;
}

function findBinaries(): string {
  const versions = readdirSync("/usr/lib/postgresql").sort((a, b) => Number(b) - Number(a));
  return join("/usr/lib/postgresql", versions[0] ?? "", "bin");
}

async function freePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

const startServer = (name: string, args: readonly string[]) =>
  execa(name, args, { cwd: "/", stdin: "ignore", stdout: "ignore", reject: false });

/** @param settings lines for postgresql.conf beyond those of a quick test; e.g. `fsync = on`. */
export async function openPostgresCluster(settings: readonly string[] = ["fsync = off"]): Promise<PostgresCluster> {
  const bin = findBinaries();
  const directory = mkdtempSync("/tmp/reimage-postgres-");
  const dataDir = join(directory, "data");
  // PostgreSQL refuses to run as root.
  const isRoot = process.getuid?.() === 0;
  const as = isRoot ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] : [];
  if (isRoot) await execa("chown", ["postgres:postgres", directory]);
  const run = async (program: string, args: readonly string[]) => {
    const [name, ...rest] = [...as, join(bin, program), ...args];
    return await execa(name ?? "", rest, { cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
  };
  const port = await freePort();
  const url = (database: string) => `postgres://postgres@127.0.0.1:${port}/${database}`;
  let pid = 0;
  let count = 0;
  let server: ReturnType<typeof startServer> | null = null;

  async function start(): Promise<void> {
    const options = ["-D", dataDir, "-p", String(port), "-h", "127.0.0.1", "-k", directory];
    const [name, ...rest] = [...as, join(bin, "postgres"), ...options];
    for (const setting of settings) rest.push("-c", setting.replace(/\s*=\s*/, "="));
    server = startServer(name ?? "", rest);
    pid = server.pid ?? 0;
    let ended: string | null = null;
    void server.then(({ stderr }) => {
      ended = String(stderr);
    });
    for (let tries = 0; ; tries += 1) {
      const client = new Client({ connectionString: url("postgres") });
      try {
        await client.connect();
        await client.end();
        return;
      } catch (cause) {
        if (ended !== null || tries > 300) throw new Error(`PostgreSQL did not start: ${ended}`, { cause });
        await Bun.sleep(50);
      }
    }
  }
  async function stop(signal: "SIGINT" | "SIGQUIT"): Promise<void> {
    if (server === null) return;
    process.kill(pid, signal);
    await server;
    server = null;
  }

  try {
    await run("initdb", [
      "-D",
      dataDir,
      "-U",
      "postgres",
      "-A",
      "trust",
      "--no-sync",
      "-E",
      "UTF8",
      "--locale=C.UTF-8",
    ]);
    await start();
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
  return {
    get pid() {
      return pid;
    },
    dataDir,
    async createDatabase() {
      count += 1;
      const name = `test_${count}`;
      const client = new Client({ connectionString: url("postgres") });
      await client.connect();
      await client.query(`create database ${name}`);
      await client.end();
      return url(name);
    },
    crash: () => stop("SIGQUIT"),
    start,
    async [Symbol.asyncDispose]() {
      await stop("SIGINT");
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
