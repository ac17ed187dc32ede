/** `reimage fleet` against `reimage serve`, both as programs. */
import { afterAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eachDatabase, event, openTestServe, type TestServe } from "../support/control-server.ts";
import { runFleet, startFleet } from "../support/fleet-process.ts";

const id = (n: number) => `4c4c4544-0000-0000-0000-${String(n).padStart(12, "0")}`;

/** Runs the command line as the admin of `serve`. */
function fleetOf(serve: TestServe) {
  const env = { REIMAGE_SERVER: serve.url, REIMAGE_TOKEN_FILE: join(serve.dataDir, "admin.token") };
  return (...args: string[]) => runFleet(args, env);
}

/** Machines kiosk-1 … kiosk-N and the images os-1 and os-2. */
async function declare(serve: TestServe, count: number): Promise<void> {
  for (const image of ["os-1", "os-2"]) await serve.must("PUT", `/images/${image}`, { id: image });
  for (let n = 1; n <= count; n += 1) {
    await serve.must("POST", "/machines", {
      id: id(n),
      name: `kiosk-${n}`,
      macs: [`52:54:00:00:00:0${n}`],
      imageId: "os-1",
    });
  }
}

eachDatabase("fleet", (open) => {
  test("list and show: a table, the same JSON as the API's, and what machines say is harmless", async () => {
    await using serve = await open();
    const fleet = fleetOf(serve);
    await declare(serve, 2);
    const machine = await serve.enrol();
    const runId = randomUUID();
    const what = "writing\x1b]0;owned\x07\n\x1b[2Jkiosk-9  installed";
    await machine.post("events", {
      runId,
      events: [
        event(1, { type: "run-started", version: "1", restarted: false }),
        event(2, { type: "progress", stage: "write", what, doneBytes: 1, totalBytes: 4 }),
      ],
    });

    const table = await fleet("list");
    expect([table.exitCode, table.stderr]).toEqual([0, ""]);
    const lines = table.stdout.trimEnd().split("\n");
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(/^MACHINE +STATE +IMAGE +NEXT BOOT +SEEN \(UTC\) +DOING$/);
    expect(table.stdout).toMatch(/^kiosk-1 +idle +os-1 +local +never$/m);
    expect(table.stdout).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);

    const json = await fleet("list", "--json");
    expect(json.stdout).toBe(`${JSON.stringify((await serve.api("GET", "/machines?limit=10000")).body)}\n`);
    const shown = await fleet("show", "52-54-00-00-00-02", "--json");
    expect(JSON.parse(shown.stdout)).toEqual((await serve.api("GET", `/machines/${id(2)}`)).body);
    expect((await fleet("show", machine.mac)).stdout).toContain(machine.id);

    const running = JSON.parse((await fleet("list", "--state", "running", "--json")).stdout);
    expect(running.machines.map((each: { id: string }) => each.id)).toEqual([machine.id]);
    expect((await fleet("list", "kiosk", "--state", "declared")).stdout.trimEnd().split("\n")).toHaveLength(3);
    expect((await fleet("list", "nothing-like-it")).stdout.trimEnd().split("\n")).toHaveLength(1);
  }, 120_000);

  test("reinstall: asks for --yes, once for each machine, the same key is the same request; then cancel", async () => {
    await using serve = await open();
    const fleet = fleetOf(serve);
    await declare(serve, 3);
    const unasked = await fleet("reinstall", "kiosk-1", "--image", "os-2");
    expect([unasked.exitCode, unasked.stderr]).toEqual([2, expect.stringContaining("needs --yes")]);
    expect((await fleet("list", "--state", "requested")).stdout).not.toContain("kiosk-1");

    const key = ["--key", "ticket-7"];
    const done = await fleet(
      "reinstall",
      "kiosk-1",
      "52:54:00:00:00:02",
      "--image",
      "os-2",
      "--attempts",
      "5",
      "--reason",
      "old",
      "--yes",
      ...key,
    );
    expect([done.exitCode, done.stderr]).toEqual([0, ""]);
    expect(done.stdout).toBe("MACHINE  RESULT\nkiosk-1  requested: os-2\nkiosk-2  requested: os-2\n");
    const { reinstalls } = await serve.must<{ reinstalls: Record<string, unknown>[] }>(
      "GET",
      `/machines/${id(2)}/reinstalls`,
    );
    expect(reinstalls).toMatchObject([{ imageId: "os-2", mostAttempts: 5, reason: "old", requestedBy: "admin:first" }]);

    const same = await fleet("reinstall", "kiosk-1", "--image", "os-2", "--yes", "--json", ...key);
    expect(same.exitCode).toBe(0);
    const first = await serve.must<{ reinstalls: { id: string }[] }>("GET", `/machines/${id(1)}/reinstalls`);
    expect(JSON.parse(same.stdout)).toMatchObject({ results: [{ machineId: id(1), answer: first.reinstalls[0] }] });
    expect(first.reinstalls).toHaveLength(1);

    const partly = await fleet("reinstall", "kiosk-1", "kiosk-3", "--image", "os-2", "--yes");
    expect(partly.exitCode).toBe(4);
    expect(partly.stdout).toMatch(/^kiosk-1 +refused: machine .* is being reinstalled already \(requested\)/m);
    expect(partly.stdout).toMatch(/^kiosk-3 +requested: os-2$/m);
    expect((await fleet("reinstall", "kiosk-1", "kiosk-2", "--image", "os-2", "--yes")).exitCode).toBe(3);

    expect((await fleet("cancel", "kiosk-1", "kiosk-2")).exitCode).toBe(0);
    expect(await serve.must("GET", `/machines/${id(1)}`)).toMatchObject({ reinstall: null, configuration: "local" });
    expect((await fleet("cancel", "kiosk-1")).stdout).toContain("refused: machine kiosk-1 is not being reinstalled");
    expect((await fleet("retry", "kiosk-3", "--yes")).stdout).toContain("is requested, not parked");
  }, 120_000);

  test("a machine that is not known, or named twice, stops all of it before anything is done", async () => {
    await using serve = await open();
    const fleet = fleetOf(serve);
    await declare(serve, 2);
    const unknown = await fleet("reinstall", "kiosk-1", "kiosk", "--image", "os-2", "--yes");
    expect([unknown.exitCode, unknown.stderr]).toEqual([3, expect.stringContaining("did you mean kiosk-1, kiosk-2?")]);
    const twice = await fleet("reinstall", "kiosk-1", "525400000001", "--image", "os-2", "--yes");
    expect([twice.exitCode, twice.stderr]).toEqual([2, expect.stringContaining("are the same machine")]);
    const many = Array.from({ length: 12 }, (_, n) => `machine-${n}`);
    expect((await fleet("reinstall", "kiosk-1", ...many, "--image", "os-2", "--yes")).exitCode).toBe(3);
    expect(await serve.must("GET", `/machines/${id(1)}`)).toMatchObject({ reinstall: null });
  }, 120_000);

  test("deploy: all or none, and what comes afterwards", async () => {
    await using serve = await open();
    const fleet = fleetOf(serve);
    await declare(serve, 2);
    expect(
      (await fleet("configurations", "put", "memtest", "--kernel", "http://k", "--initrd", "a", "--initrd", "b"))
        .exitCode,
    ).toBe(0);
    const done = await fleet("deploy", "memtest", "kiosk-1", "kiosk-2", "--boots", "2", "--yes");
    expect(done.stdout).toBe(
      "MACHINE  NEXT BOOT  BOOTS  AFTERWARDS\nkiosk-1  memtest    2      local\nkiosk-2  memtest    2      local\n",
    );
    expect((await fleet("deploy", "nothing", "kiosk-1", "--yes")).exitCode).toBe(3);
    expect((await fleet("deploy", "memtest", "kiosk-1")).exitCode).toBe(2);
    expect((await fleet("deploy", "local", "kiosk-1")).exitCode).toBe(0); // wipes nothing
    expect(await serve.must("GET", `/machines/${id(1)}`)).toMatchObject({ configuration: "local" });
    expect(await serve.must("GET", `/machines/${id(2)}`)).toMatchObject({ configuration: "memtest" });
    const forgotten = await fleet("configurations", "remove", "memtest", "--yes");
    expect([forgotten.exitCode, forgotten.stderr]).toEqual([3, expect.stringContaining("is deployed for machine")]);
  }, 120_000);

  test("events: the log of the last run; --follow goes on over a broken connection to the end of the run", async () => {
    await using serve = await open();
    const machine = await serve.enrol();
    const fleet = fleetOf(serve);
    const none = await fleet("events", machine.id);
    expect([none.exitCode, none.stderr]).toEqual([3, expect.stringContaining("has told of no run yet")]);
    const runId = randomUUID();
    const send = (...events: ReturnType<typeof event>[]) => machine.post("events", { runId, events });
    await send(
      event(1, { type: "run-started", version: "9", restarted: false }),
      event(2, { type: "step", stage: "save", message: "reads the list" }),
    );

    const log = await fleet("events", machine.id);
    expect(
      log.stdout
        .trimEnd()
        .split("\n")
        .map((line) => line.slice(9)),
    ).toEqual(["        reimage 9 starts", "save    reads the list"]);
    const json = await fleet("events", runId, "--json");
    expect(JSON.parse(json.stdout)).toEqual((await serve.api("GET", `/runs/${runId}/events`)).body);

    // Between them, something that breaks every connection once.
    let connections = 0;
    using proxy = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch(request) {
        const { pathname, search } = new URL(request.url);
        const response = await fetch(`${serve.url}${pathname}${search}`, {
          headers: { authorization: request.headers.get("authorization") ?? "" },
        });
        if (!pathname.endsWith("/stream")) return response;
        connections += 1;
        if (connections > 1 || response.body === null) return response;
        const reader = response.body.getReader();
        const body = new ReadableStream<Uint8Array>({
          async pull(controller) {
            const { value } = await reader.read();
            if (value !== undefined) controller.enqueue(value);
            if (value === undefined || new TextDecoder().decode(value).includes("run-events")) {
              controller.close();
              void reader.cancel();
            }
          },
        });
        return new Response(body, { headers: { "content-type": "text/event-stream" } });
      },
    });
    const env = {
      REIMAGE_SERVER: `http://127.0.0.1:${proxy.port}`,
      REIMAGE_TOKEN_FILE: join(serve.dataDir, "admin.token"),
    };
    const following = startFleet(["events", runId, "--follow"], env);
    while (connections < 2) await Bun.sleep(20);
    await send(event(3, { type: "target-state", state: "partial" }));
    await send(
      event(4, {
        type: "run-failed",
        stage: "write",
        target: "partial",
        code: "device-io",
        reason: "the disk \x1b[31mdied",
        hint: "replace it",
      }),
    );
    const text = await new Response(following.stdout).text();
    await following.exited;
    expect(following.exitCode).toBe(0);
    expect(
      text
        .trimEnd()
        .split("\n")
        .map((line) => line.slice(9).trim()),
    ).toEqual([
      "reimage 9 starts",
      "save    reads the list",
      "the disk is partial",
      "write   failed, disk partial: the disk died",
      "replace it",
    ]);
    const again = await fleet("events", machine.id, "--follow", "--json");
    expect(
      again.stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line).seq),
    ).toEqual([1, 2, 3, 4]);
  }, 120_000);

  test("approve, codes, tokens: what is secret is printed once, alone on standard output", async () => {
    await using serve = await open();
    const fleet = fleetOf(serve);
    const tokenSha256 = createHash("sha256").update(randomBytes(32)).digest("hex");
    const { fingerprint } = await serve.must<{ fingerprint: string }>("POST", "/enrol", {
      machineId: id(1),
      macs: [],
      tokenSha256,
    });
    expect((await fleet("list", "--state", "approve")).stdout).toContain(id(1));
    expect((await fleet("show", id(1))).stdout).toContain(fingerprint);
    expect((await fleet("approve", id(1), "--fingerprint", "0000-0000-0000-0000")).exitCode).toBe(3);
    expect((await fleet("approve", id(1), "--fingerprint", fingerprint.toUpperCase())).exitCode).toBe(0);
    expect(await serve.must("GET", `/machines/${id(1)}`)).toMatchObject({ state: "approved" });

    const code = await fleet("enrolment-code", "--machine", id(2), "--hours", "1");
    expect(code.stdout).toMatch(/^reimage-code-\S+\n$/);
    await serve.must("POST", "/enrol", {
      machineId: id(2),
      macs: [],
      tokenSha256: "a".repeat(64),
      code: code.stdout.trim(),
    });

    const created = await fleet("token", "create", "anna", "--role", "viewer", "--days", "7");
    expect(created.stdout).toMatch(/^reimage-admin-\S+\n$/);
    const token = created.stdout.trim();
    expect((await serve.api("GET", "/machines", undefined, token)).status).toBe(200);
    const list = await fleet("token", "list");
    expect(list.stdout).toMatch(/^[0-9a-f]{16} +anna +viewer +/m);
    expect(list.stdout + list.stderr).not.toContain(token);

    const file = join(serve.dataDir, "anna.token");
    writeFileSync(file, `${token}\n`, { mode: 0o600 });
    const refused = await fleet("enrolment-code", "--token-file", file);
    expect([refused.exitCode, refused.stderr]).toEqual([
      3,
      expect.stringContaining("this needs the role admin; anna is viewer"),
    ]);
    const tokenId = /^([0-9a-f]{16}) +anna/m.exec(list.stdout)?.[1] ?? "";
    expect((await fleet("token", "revoke", tokenId)).exitCode).toBe(2);
    expect((await fleet("token", "revoke", tokenId, "--yes")).exitCode).toBe(0);
    const revoked = await fleet("list", "--token-file", file);
    expect([revoked.exitCode, revoked.stderr]).toEqual([3, expect.stringContaining(`the token is that of ${file}`)]);
    expect(revoked.stderr).not.toContain(token);
  }, 120_000);

  test("images: put from a manifest of reimage pack, listed, removed", async () => {
    await using serve = await open();
    const fleet = fleetOf(serve);
    const manifest = join(serve.dataDir, "os.manifest.json");
    const sha256 = "ab".repeat(32);
    writeFileSync(manifest, JSON.stringify({ imageId: "team/os:7", raw: { sha256, sizeBytes: 1 } }));
    expect((await fleet("images", "put", "--manifest", manifest, "--url", "http://x/os.zst")).exitCode).toBe(0);
    expect(await serve.must("GET", "/images")).toMatchObject({
      images: [{ id: "team/os:7", sha256, url: "http://x/os.zst" }],
    });
    expect((await fleet("images")).stdout).toContain(sha256);
    expect((await fleet("images", "put", "os", "--sha256", "short")).exitCode).toBe(2);
    expect((await fleet("images", "remove", "team/os:7", "--yes")).exitCode).toBe(0);
    expect((await fleet("images", "remove", "team/os:7", "--yes")).exitCode).toBe(3);
  }, 120_000);

  test("a request whose answer was lost is sent again, and is not a second one", async () => {
    await using serve = await open();
    await declare(serve, 1);
    const keys: (string | null)[] = [];
    using lossy = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch(request) {
        const { pathname, search } = new URL(request.url);
        const body = request.method === "GET" ? undefined : await request.text();
        const response = await fetch(`${serve.url}${pathname}${search}`, {
          method: request.method,
          headers: request.headers,
          ...(body === undefined ? {} : { body }),
        });
        if (!pathname.endsWith("/reinstalls")) return response;
        keys.push(request.headers.get("idempotency-key"));
        return keys.length === 1 ? Response.json({ code: "unavailable", message: "lost" }, { status: 503 }) : response;
      },
    });
    const env = {
      REIMAGE_SERVER: `http://127.0.0.1:${lossy.port}`,
      REIMAGE_TOKEN_FILE: join(serve.dataDir, "admin.token"),
    };
    const done = await runFleet(["reinstall", "kiosk-1", "--image", "os-2", "--yes"], env);
    expect([done.exitCode, done.stdout]).toEqual([0, expect.stringContaining("requested: os-2")]);
    expect(keys).toHaveLength(2);
    expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/);
    expect(keys[1]).toBe(keys[0] ?? "");
  }, 120_000);
});

describe("without an endpoint", () => {
  const directory = mkdtempSync(join(tmpdir(), "reimage-fleet-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const token = join(directory, "token");
  writeFileSync(token, "reimage-admin-x\n", { mode: 0o600 });
  const server = (url: string) => ({ REIMAGE_SERVER: url, REIMAGE_TOKEN_FILE: token });

  test("wrong usage is 2, an endpoint that is not there 3, each with what to do", async () => {
    const silent = server("http://127.0.0.1:9");
    const absent = await runFleet(["list"], silent);
    expect([absent.exitCode, absent.stderr]).toEqual([3, expect.stringContaining("is reimage serve running there?")]);
    for (const args of [
      [],
      ["lst"],
      ["show"],
      ["show", "a", "b"],
      ["reinstall", "a"],
      ["power", "a", "explode"],
      ["list", "--state", "x"],
      ["token", "create", "a", "--role", "king"],
    ]) {
      expect([args, (await runFleet(args, silent)).exitCode]).toEqual([args, 2]);
    }
    expect((await runFleet(["list"], server("http://user:secret@x"))).stderr).not.toContain("secret");
    const none = await runFleet(["list"], { ...silent, REIMAGE_TOKEN_FILE: "" });
    expect([none.exitCode, none.stderr]).toEqual([2, expect.stringContaining("admin.token")]);
    const missing = await runFleet(["list", "--token-file", join(directory, "absent")], silent);
    expect([missing.exitCode, missing.stderr]).toEqual([2, expect.stringContaining("cannot be read")]);
    chmodSync(token, 0o644);
    expect((await runFleet(["list"], silent)).stderr).toContain("everybody on this host can read your token");
    chmodSync(token, 0o600);
  }, 120_000);

  test("something that is no endpoint is told so; it is not followed elsewhere with the token", async () => {
    const asked: string[] = [];
    using elsewhere = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch(request) {
        asked.push(new URL(request.url).pathname);
        return asked.length === 1 ? Response.redirect("/other", 302) : new Response("<html>", { status: 200 });
      },
    });
    const env = server(`http://127.0.0.1:${elsewhere.port}`);
    const moved = await runFleet(["list"], env);
    expect([moved.exitCode, moved.stderr]).toEqual([3, expect.stringContaining("no endpoint of reimage")]);
    expect(asked).toEqual(["/api/v1/machines"]);
    const page = await runFleet(["list"], env);
    expect([page.exitCode, page.stderr]).toEqual([3, expect.stringContaining("does not understand")]);
  }, 120_000);

  test("on a terminal it asks, and only yes is a yes; tables fit it", async () => {
    await using serve = await openTestServe();
    await declare(serve, 1);
    await serve.must("PATCH", `/machines/${id(1)}`, { name: `kiosk-${"with-a-long-name-".repeat(5)}1` });
    const program = `${process.execPath} ${join(import.meta.dir, "../../src/main.ts")} fleet`;
    const inTerminal = async (args: string, typed: string) => {
      const script = Bun.spawn(["script", "-qec", `stty cols 60; ${program} ${args}`, "/dev/null"], {
        stdin: new Blob([typed]),
        stdout: "pipe",
        env: { ...process.env, REIMAGE_SERVER: serve.url, REIMAGE_TOKEN_FILE: join(serve.dataDir, "admin.token") },
      });
      const text = await new Response(script.stdout).text();
      await script.exited;
      return { text, exitCode: script.exitCode };
    };
    const listed = (await inTerminal("list", "")).text.split("\r\n").filter((line) => line.includes("…"));
    expect(listed).toHaveLength(1);
    expect(Bun.stringWidth(listed[0] ?? "")).toBeLessThanOrEqual(60);
    const reinstall = `reinstall ${id(1)} --image os-2`;
    const no = await inTerminal(reinstall, "y\n");
    expect([no.exitCode, no.text]).toEqual([3, expect.stringContaining("nothing was done")]);
    expect(await serve.must("GET", `/machines/${id(1)}`)).toMatchObject({ reinstall: null });
    expect((await inTerminal(reinstall, "yes\n")).exitCode).toBe(0);
    expect(await serve.must("GET", `/machines/${id(1)}`)).toMatchObject({ reinstall: { imageId: "os-2" } });
  }, 120_000);
});
