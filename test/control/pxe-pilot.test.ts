/** PXE Pilot's API as its users call it, on both databases. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAddressRange } from "../../src/control/server/security/address-range.ts";
import { eachDatabase, type OpenServe, type TestServe } from "../support/control-server.ts";
import { runTestCommand } from "../support/loop-device.ts";
import { openPowerProgram } from "../support/power-program.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const fixtures = join(import.meta.dir, "../fixtures/control");
interface Recorded {
  readonly case: string;
  readonly request: string;
  readonly headers?: Record<string, string>;
  readonly send?: unknown;
  readonly sendText?: string;
  readonly status: number;
  /** The body, whole; JSON where it is no text. */
  readonly body?: unknown;
  /** An error: with both keys, naming this. */
  readonly error?: string;
  /** What the hosts boot afterwards. */
  readonly boots?: Record<string, string>;
}
const table: Recorded[] = JSON.parse(readFileSync(join(fixtures, "pxe-pilot.json"), "utf8"));

const facades = { names: ["pxe-pilot" as const], clients: [parseAddressRange("127.0.0.1")] };
const h1 = { id: "00000000-0000-0000-0000-0000000000a1", name: "h1", macs: ["23:34:a3:e9:09:cc", "23:34:a3:e9:09:cd"] };
const h2 = { id: "00000000-0000-0000-0000-0000000000a2", name: "h2", macs: ["23:34:a3:e9:09:ce"] };

async function openWithHosts(open: OpenServe, options: Parameters<OpenServe>[0] = {}): Promise<TestServe> {
  const serve = await open({ facades, ...options });
  for (const host of [h1, h2]) await serve.must("POST", "/machines", host);
  for (const [name, word] of [
    ["grml-2017.05", "grml"],
    ["ubuntu-16.04", "ubuntu"],
  ] as const) {
    const text = { name, kind: "text", bootloader: "pxelinux", content: `DEFAULT ${word}\n` };
    await serve.must("PUT", `/boot-configurations/${name}`, text);
  }
  return serve;
}

async function booting(serve: TestServe): Promise<Record<string, string>> {
  const { machines } = await serve.must<{ machines: { name: string; configuration: string }[] }>("GET", "/machines");
  return Object.fromEntries(machines.map(({ name, configuration }) => [name, configuration]));
}

async function call(serve: TestServe, prefix: string, recorded: Recorded) {
  const [method = "", path = ""] = recorded.request.split(" ");
  const body = recorded.sendText ?? (recorded.send === undefined ? undefined : JSON.stringify(recorded.send));
  const response = await fetch(`${serve.url}${prefix}${path}`, {
    method,
    headers: recorded.headers ?? {},
    ...(body === undefined ? {} : { body }),
  });
  const text = await response.text();
  return { status: response.status, body: text.startsWith("{") || text.startsWith("[") ? JSON.parse(text) : text };
}

eachDatabase("pxe-pilot", (open) => {
  test.each(["", "/v1"])("the recorded table, with the prefix %p", async (prefix) => {
    await using serve = await openWithHosts(open);
    for (const recorded of table) {
      for (const { id } of [h1, h2]) await serve.must("POST", `/machines/${id}/boot-local`);
      const answer = { case: recorded.case, ...(await call(serve, prefix, recorded)) };
      if (recorded.error === undefined) {
        expect(answer).toEqual({ case: recorded.case, status: recorded.status, body: recorded.body });
      } else {
        expect(answer).toMatchObject({ case: recorded.case, status: recorded.status });
        expect(answer.body.message).toContain(recorded.error);
        expect(answer.body.Message).toBe(answer.body.message);
      }
      if (recorded.boots !== undefined) expect(await booting(serve)).toEqual(recorded.boots);
    }
  });

  test("the late script of its use case, as printed", async () => {
    await using serve = await openWithHosts(open);
    await serve.must("POST", "/boot-configurations/ubuntu-16.04/deploy", { machines: ["h1"] });
    const printed = readFileSync(join(fixtures, "pxe-pilot-late-script.sh"), "utf8");
    expect(printed).toContain("pxe-server:3478");
    const script = printed.replace("pxe-server:3478", new URL(serve.url).host);
    const output = await runTestCommand(["sh", "-e", "-c", script]);
    expect(output).toStartWith("HTTP/1.1 200 OK");
    expect(JSON.parse(output.split("\r\n\r\n")[1] ?? "")).toEqual({
      hosts: [{ name: "h1", configuration: "local", rebooted: "NO" }],
    });
    expect(await booting(serve)).toEqual({ h1: "local", h2: "local" });
    const { entries } = await serve.must<{ entries: unknown[] }>("GET", "/audit?limit=1");
    expect(entries[0]).toMatchObject({ actor: "facade:pxe-pilot", address: "127.0.0.1", object: `machine:${h1.id}` });
  });

  test("whoever calls from elsewhere is refused, and switches nothing", async () => {
    const others = { names: ["pxe-pilot" as const], clients: [parseAddressRange("192.0.2.0/24")] };
    await using serve = await openWithHosts(open, { facades: others });
    const deploy = {
      case: "",
      request: "PUT /configurations/ubuntu-16.04/deploy",
      send: { hosts: [{ name: "h1" }] },
      status: 403,
    };
    expect((await call(serve, "", deploy)).status).toBe(403);
    expect(await booting(serve)).toEqual({ h1: "local", h2: "local" });
  });

  test("power: reboots of deployed hosts, also of those named by MAC; no password in any answer", async () => {
    await using program = await openPowerProgram();
    await using serve = await openWithHosts(open, { powerAdapters: [program.adapter] });
    await program.give(serve, h1.id, { host: "h1", address: "10.0.9.1", user: "anna", password: "top-secret" });
    const send = {
      hosts: [
        { macAddress: h1.macs[1], reboot: true },
        { name: "h2", reboot: true },
      ],
    };
    const deploy = { case: "", request: "PUT /configurations/ubuntu-16.04/deploy", send, status: 200 };
    expect((await call(serve, "/v1", deploy)).body).toEqual({
      hosts: [
        { name: "h1", configuration: "ubuntu-16.04", rebooted: "YES" },
        { name: "h2", configuration: "ubuntu-16.04", rebooted: "ERROR" },
      ],
    });
    expect(await program.did()).toEqual(["reset h1"]);
    for (const [path, status] of [
      ["/hosts/h1/off", 204],
      ["/hosts/h1/on", 204],
      ["/v1/hosts/h1/reboot", 204],
    ] as const) {
      const recorded = { case: path, request: `PATCH ${path}`, status };
      expect((await call(serve, "", recorded)).status).toBe(status);
    }
    expect(await program.did()).toEqual(["reset h1", "off h1", "on h1", "reset h1"]);
    const { body } = await call(serve, "", { case: "", request: "GET /hosts", status: 200 });
    expect(body).toMatchObject([
      { name: "h1", powerState: "On", ipmi: { hostname: "10.0.9.1", username: "anna", password: "" } },
      { name: "h2", powerState: "Unknown", ipmi: null },
    ]);
    expect(JSON.stringify(body)).not.toContain("top-secret");
  });
});
