/** The options of `reimage serve`, and what its log keeps to itself. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { serveCommand } from "../../../src/commands/serve.ts";
import { formatLogLine, hidePassword } from "../../../src/commands/serve-log.ts";
import { isLoopback, parseListen, parseServeOptions, serveOptions } from "../../../src/commands/serve-options.ts";
import { facades } from "../../../src/control/server/facades/mount.ts";
import { ReimageError } from "../../../src/errors.ts";

function refusalOf(args: readonly string[], env: Record<string, string> = {}): string {
  try {
    parseServeOptions(args, env);
  } catch (error) {
    if (!(error instanceof ReimageError)) throw error;
    expect(error.code).toBe("usage");
    return `${error.message} ${error.hint}`;
  }
  return "nothing";
}

test("nothing given: loopback, SQLite, no facade, no TLS", () => {
  expect(parseServeOptions([], {})).toEqual({
    hostname: "127.0.0.1",
    port: 7050,
    dataDir: "/var/lib/reimage",
    databaseUrl: null,
    hostsPath: null,
    tls: null,
    facades: { names: [], clients: [] },
    trustedProxies: [],
    keepDays: 90,
    pxelinux: null,
  });
});

test("--keep-days", () => {
  expect(parseServeOptions(["--keep-days", "7"], {}).keepDays).toBe(7);
  for (const text of ["0", "-1", "1.5", "x", "1e3", "999999"]) {
    expect(refusalOf([`--keep-days=${text}`])).toContain("is no number of days");
  }
});

test("--trusted-proxy, several times; nothing else than ranges", () => {
  const { trustedProxies } = parseServeOptions(["--trusted-proxy", "10.0.0.0/24", "--trusted-proxy", "fd00::1"], {});
  expect(trustedProxies.map(({ text }) => text)).toEqual(["10.0.0.0/24", "fd00::1"]);
  expect(refusalOf(["--trusted-proxy", "lb.example"])).toContain("--trusted-proxy: ");
});

test.each([
  ["127.0.0.1:80", "127.0.0.1", 80, true],
  ["0.0.0.0:65535", "0.0.0.0", 65535, false],
  ["[::1]:7050", "::1", 7050, true],
  ["[::]:0", "::", 0, false],
  ["[::ffff:127.0.0.1]:1", "::ffff:127.0.0.1", 1, true],
  ["localhost:7050", "localhost", 7050, true],
  ["reimage.example:7050", "reimage.example", 7050, false],
  ["127.8.9.1:7050", "127.8.9.1", 7050, true],
])("--listen %s", (text, hostname, port, onlyHere) => {
  expect(parseListen(text)).toEqual({ hostname, port });
  expect(isLoopback(hostname)).toBe(onlyHere);
});

test.each([
  "7050",
  ":7050",
  "::1:7050",
  "[::1]",
  "[nonsense]:1",
  "[1.2.3.4]:1",
  "a:65536",
  "a:-1",
  "a:b",
  "a b:1",
  "http://a:1",
  "",
])("--listen %p is refused", (text) => {
  expect(refusalOf(["--listen", text])).toContain("--listen");
});

describe("DATABASE_URL", () => {
  test.each(["postgres://u:p@h:5432/d", "postgresql:///d?host=/run/postgresql"])("%s is taken", (url) => {
    expect(parseServeOptions([], { DATABASE_URL: url }).databaseUrl).toBe(url);
  });

  test.each(["mysql://u:s3cret@h/d", "postgres://u:s3cret@[x/d", "s3cret"])(
    "%s is refused, and not repeated",
    (url) => {
      const refusal = refusalOf([], { DATABASE_URL: url });
      expect(refusal).toContain("DATABASE_URL");
      expect(refusal).not.toContain("s3cret");
    },
  );

  test("empty is none", () => expect(parseServeOptions([], { DATABASE_URL: "" }).databaseUrl).toBeNull());
});

test.each([
  [["--tls-cert", "c"], "--tls-cert needs --tls-key"],
  [["--tls-key", "k"], "--tls-key needs --tls-cert"],
  [["--pxelinux", "/srv"], "--pxelinux needs --pxelinux-configurations"],
  [["--facade-clients", "10.0.0.0/8"], "name them with --facade"],
  [["--facade", "nonsense", "--facade-clients", "10.0.0.0/8"], "there is no such facade"],
  [["--data", ""], "--data is empty"],
  [["--dta", "x"], "--dta"],
  [["x"], "x"],
])("%p is refused", (args, problem) => {
  expect(refusalOf(args)).toContain(problem);
});

test.each(Object.keys(facades))("the facade %s needs to know its clients", (name) => {
  expect(refusalOf(["--facade", name])).toContain("--facade needs --facade-clients");
  expect(refusalOf(["--facade", name, "--facade-clients", "10.0.0.0/99"])).toContain("no address range");
  const args = ["--facade", name, "--facade", name, "--facade-clients", "10.0.0.0/8", "--facade-clients", "fd00::/8"];
  const { names, clients } = parseServeOptions(args, {}).facades;
  expect(names as readonly string[]).toEqual([name]);
  expect(clients.map(({ text }) => text)).toEqual(["10.0.0.0/8", "fd00::/8"]);
});

test("--help and docs/control.md name every option", () => {
  const documentation = readFileSync(join(import.meta.dir, "../../../docs/control.md"), "utf8");
  for (const option of Object.keys(serveOptions)) {
    expect(serveCommand.usage).toContain(`--${option} `);
    expect(documentation).toContain(`--${option}`);
  }
});

describe("the log", () => {
  test("a record is one line, or indented, and holds nothing that a terminal obeys", () => {
    const line = formatLogLine(0, "info", "\x1b]0;x\x07one\ntwo\x9b\n");
    expect(line).toStartWith("1970-01-01T00:00:00.000Z info    one\n    two");
    expect(line).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
  });

  test("the password of the database is hidden, however it is written", () => {
    const hide = hidePassword("postgres://u:s3cret%40x@h/d");
    expect(hide("at postgres://u:s3cret%40x@h/d with s3cret@x")).toBe("at postgres://u:<hidden>@h/d with <hidden>");
    expect(hidePassword("postgres://u:a@h/d")("a table at u:a@h")).toBe("a table at u:<hidden>@h");
    expect(hidePassword(null)("a")).toBe("a");
  });
});
