/** `reimage serve` as it is started, told things, and killed. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCa } from "../support/certificates.ts";
import { runCli } from "../support/cli.ts";
import { adminApi, type ServeProcess, startServe } from "../support/fleet-process.ts";
import { openPostgresCluster, type PostgresCluster } from "../support/postgres.ts";

const directory = mkdtempSync(join(tmpdir(), "reimage-serve-command-"));
let cluster: Promise<PostgresCluster> | null = null;
afterAll(async () => {
  rmSync(directory, { recursive: true, force: true });
  if (cluster !== null) await (await cluster)[Symbol.asyncDispose]();
});

async function databaseUrl(): Promise<string> {
  cluster ??= openPostgresCluster();
  return await (await cluster).createDatabase();
}

function write(name: string, text: string, mode = 0o600): string {
  const path = join(directory, name);
  writeFileSync(path, text, { mode });
  return path;
}

const id = (n: number) => `4c4c4544-0000-0000-0000-${String(n).padStart(12, "0")}`;
const names = async (serve: ServeProcess) => {
  const { body } = await adminApi(serve, "GET", "/machines");
  return body.machines.map(({ name }: { name: string | null }) => name);
};

describe.each(["sqlite", "postgres"] as const)("on %s", (dialect) => {
  const environment = async (): Promise<Record<string, string>> =>
    dialect === "sqlite" ? {} : { DATABASE_URL: await databaseUrl() };

  test("what was acknowledged is there after kill -9, and the first token still counts", async () => {
    const dataDir = mkdtempSync(join(directory, "data-"));
    const env = await environment();
    const token = async () => {
      await using serve = await startServe({ dataDir, env });
      expect(statSync(serve.tokenFile).mode & 0o777).toBe(0o600);
      expect((await adminApi(serve, "POST", "/machines", { id: id(1), name: "kiosk-1" })).status).toBe(201);
      expect((await adminApi(serve, "PUT", "/images/os-2", { id: "os-2" })).status).toBe(200);
      const { status } = await adminApi(serve, "POST", `/machines/${id(1)}/reinstalls`, { imageId: "os-2" });
      expect(status).toBe(201);
      serve.kill("SIGKILL");
      expect((await serve.exited).signal).toBe("SIGKILL");
      return readFileSync(serve.tokenFile, "utf8");
    };
    const first = await token();
    await using again = await startServe({ dataDir, env });
    expect(readFileSync(again.tokenFile, "utf8")).toBe(first);
    expect(again.log()).not.toContain(first.trim());
    expect(again.log()).not.toContain("first admin token");
    const { body } = await adminApi(again, "GET", `/machines/${id(1)}`);
    expect(body).toMatchObject({ name: "kiosk-1", configuration: "reimage", reinstall: { state: "requested" } });
  }, 120_000);

  test("SIGHUP reads the hosts file again; a file that is wrong changes nothing", async () => {
    const hosts = write(`hosts-${dialect}.yaml`, `machines:\n  - { id: ${id(1)}, name: kiosk-1 }\n`);
    await using serve = await startServe({ args: ["--hosts", hosts], env: await environment() });
    expect(await names(serve)).toEqual(["kiosk-1"]);

    write(`hosts-${dialect}.yaml`, `machines:\n  - { id: ${id(2)}, name: kiosk-2, lokced: true }\n`);
    serve.kill("SIGHUP");
    await serve.said('did you mean "locked"');
    expect(await names(serve)).toEqual(["kiosk-1"]);

    write(`hosts-${dialect}.yaml`, `machines:\n  - { id: ${id(2)}, name: kiosk-2 }\n`);
    serve.kill("SIGHUP");
    await serve.said("not in the file, and kept: machines kiosk-1");
    expect(await names(serve)).toEqual(["kiosk-1", "kiosk-2"]);
    serve.kill("SIGTERM");
    expect(await serve.exited).toEqual({ exitCode: 0, signal: null });
  }, 120_000);
});

test("the power adapters of the hosts file are used, and those of the file as it is now", async () => {
  const file = (command: string) => `powerAdapters:
  - { name: strip, commands: { "on": [${command}] } }
machines:
  - { id: ${id(1)}, name: kiosk-1, power: { adapter: strip } }
`;
  const hosts = write("power.yaml", file("/bin/false"));
  await using serve = await startServe({ args: ["--hosts", hosts] });
  const failed = await serve.fleet("power", "kiosk-1", "on", "--wait");
  expect([failed.exitCode, failed.stdout]).toEqual([3, expect.stringContaining("/bin/false ended with status 1")]);
  write("power.yaml", file("/bin/true"));
  serve.kill("SIGHUP");
  await serve.said("nothing has changed");
  expect((await serve.fleet("power", "kiosk-1", "on", "--wait")).exitCode).toBe(0);
}, 120_000);

describe("the end", () => {
  test("a request under way is answered, a stream is closed, and the status is 0", async () => {
    await using serve = await startServe();
    const token = readFileSync(serve.tokenFile, "utf8").trim();
    const headers = { authorization: `Bearer ${token}` };
    const stream = await fetch(`${serve.url}/api/v1/stream`, { headers });
    const reader = stream.body?.getReader();
    await reader?.read();
    // A request whose body arrives only after the signal.
    const { hostname, port } = new URL(serve.url);
    const socket = connect(Number(port), hostname);
    const body = JSON.stringify({ id: id(7), name: "late" });
    socket.write(
      `POST /api/v1/machines HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 5)}`,
    );
    await Bun.sleep(200); // it has to be there before the signal
    serve.kill("SIGTERM");
    await serve.said("SIGTERM: ends");
    socket.write(body.slice(5));
    const answer = await new Promise<string>((resolve) => socket.once("data", (data) => resolve(data.toString())));
    expect(answer).toStartWith("HTTP/1.1 201");
    socket.destroy();
    let rest = await reader?.read();
    while (rest?.done === false) rest = await reader?.read();
    expect(await serve.exited).toEqual({ exitCode: 0, signal: null });
    expect(serve.log()).toMatch(/info {4}ended\n$/);
  }, 120_000);

  test("the second signal ends it at once, whoever it is waiting for", async () => {
    await using serve = await startServe();
    const { hostname, port } = new URL(serve.url);
    const socket = connect(Number(port), hostname);
    socket.on("error", () => {});
    socket.write(
      "POST /api/v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    );
    await Bun.sleep(200);
    serve.kill("SIGINT");
    await serve.said("SIGINT: ends");
    serve.kill("SIGINT");
    expect(await serve.exited).toEqual({ exitCode: 130, signal: null });
    socket.destroy();
  }, 120_000);

  test("SIGHUP without a hosts file ends nothing", async () => {
    await using serve = await startServe();
    serve.kill("SIGHUP");
    await serve.said("there is no hosts file to read again");
    expect((await fetch(`${serve.url}/api/v1/health`)).status).toBe(200);
  }, 120_000);
});

describe("TLS", () => {
  async function files() {
    await using ca = await createCa();
    const good = await ca.sign("IP:127.0.0.1");
    const old = await ca.sign("IP:127.0.0.1", "20200101000000Z", "20210101000000Z");
    const soon = await ca.sign("IP:127.0.0.1", "20800101000000Z", "20900101000000Z");
    const pair = (name: string, { cert, key }: { cert: string; key: string }) => ({
      cert: write(`${name}.pem`, cert),
      key: write(`${name}.key`, key),
    });
    return {
      ca: write("ca.pem", readFileSync(ca.caFile, "utf8")),
      good: pair("good", good),
      old: pair("old", old),
      soon: pair("soon", soon),
    };
  }

  test("it is spoken with the certificate given; the command line checks it against the CA", async () => {
    const { ca, good } = await files();
    await using serve = await startServe({ args: ["--tls-cert", good.cert, "--tls-key", good.key] });
    expect(serve.url).toStartWith("https://127.0.0.1:");
    expect((await serve.fleet("list", "--ca", ca)).exitCode).toBe(0);
    const unknown = await serve.fleet("list");
    expect(unknown.exitCode).toBe(3);
    expect(unknown.stderr).toContain("of a CA that is not trusted here");
    expect(unknown.stderr).toContain("--ca FILE names the CA's certificate");
    const otherName = await serve.fleet("list", "--ca", ca, "--server", serve.url.replace("127.0.0.1", "localhost"));
    expect([otherName.exitCode, otherName.stderr]).toEqual([3, expect.stringContaining("for another name")]);
  }, 120_000);

  test("a certificate that nobody could accept is refused before anything listens", async () => {
    const { good, old, soon } = await files();
    const junk = write("junk.pem", "junk");
    const cases = [
      [good.cert, old.key, "is not that of the certificate"],
      [old.cert, old.key, "has expired on 2021-01-01"],
      [soon.cert, soon.key, "is valid from 2080-01-01 on"],
      [junk, good.key, "holds no certificate in PEM"],
      [good.cert, junk, "holds no private key"],
      [join(directory, "absent"), good.key, "cannot be read"],
    ] as const;
    for (const [cert, key, problem] of cases) {
      const result = await runCli(["serve", "--data", join(directory, "never"), "--tls-cert", cert, "--tls-key", key]);
      expect([result.exitCode, result.stderr]).toEqual([2, expect.stringContaining(problem)]);
      expect(result.stderr).not.toContain("BEGIN");
    }
  }, 120_000);
});

test("listening beyond loopback without TLS is warned of", async () => {
  await using serve = await startServe({ args: ["--listen", "0.0.0.0:0"] });
  expect(serve.log()).toContain("warning listens on 0.0.0.0 without TLS");
  await using v6 = await startServe({ args: ["--listen", "[::1]:0"] });
  expect(v6.log()).not.toContain("without TLS");
  expect((await fetch(`${v6.url}/api/v1/health`)).status).toBe(200);
}, 120_000);

test("what cannot start says why: a port in use, a data directory in use, a wrong hosts file", async () => {
  await using serve = await startServe();
  const other = join(directory, "other");
  const port = await runCli(["serve", "--listen", new URL(serve.url).host, "--data", other]);
  expect([port.exitCode, port.stderr]).toEqual([2, expect.stringContaining("cannot listen on 127.0.0.1")]);
  const data = await runCli(["serve", "--listen", "127.0.0.1:0", "--data", serve.dataDir]);
  expect([data.exitCode, data.stderr]).toEqual([3, expect.stringContaining("another process has it open")]);
  const hosts = write("wrong.yaml", "machines: [{ id: 1 }]\n");
  const wrong = await runCli(["serve", "--listen", "127.0.0.1:0", "--data", other, "--hosts", hosts]);
  expect([wrong.exitCode, wrong.stderr]).toEqual([2, expect.stringContaining("machines[0].id")]);
  expect((await runCli(["serve", "--nonsense"])).exitCode).toBe(2);
}, 120_000);

test("the password of the database is in no message", async () => {
  const secret = "s3cret-p%40ss";
  async function start(url: string) {
    const { stdout: _, ...result } = await (async () => {
      const subprocess = Bun.spawn(
        [
          process.execPath,
          join(import.meta.dir, "../../src/main.ts"),
          "serve",
          "--listen",
          "127.0.0.1:0",
          "--data",
          directory,
        ],
        { stdin: "ignore", stdout: "pipe", stderr: "pipe", env: { ...process.env, DATABASE_URL: url } },
      );
      const stderr = await new Response(subprocess.stderr).text();
      await subprocess.exited;
      return { stdout: subprocess.stdout, stderr, exitCode: subprocess.exitCode };
    })();
    expect(result.stderr).not.toContain("s3cret");
    return result;
  }
  expect((await start(`postgres://u:${secret}@127.0.0.1:9/x`)).exitCode).toBe(3);
  expect((await start(`postgres://u:${secret}@[bad/x`)).exitCode).toBe(2);
  expect((await start(`mysql://u:${secret}@h/x`)).exitCode).toBe(2);
}, 120_000);
