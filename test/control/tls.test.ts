/** The endpoint with a certificate of its own. */
import { expect, test } from "bun:test";
import { openEndpoint } from "../../src/control/client/endpoint.ts";
import { createCa } from "../support/certificates.ts";
import { openTestServe, type TestServe } from "../support/control-server.ts";
import { rawRequest } from "../support/raw-request.ts";
import { refusalOf } from "../support/refusal-of.ts";

const client = async (serve: TestServe, ca: string | null, token: string | null) =>
  await openEndpoint({ config: { url: serve.url, ca, timeoutSeconds: 5 }, token: () => token, version: "test" });

test("the client reaches it with the CA that it was given, and with no other", async () => {
  await using ca = await createCa("one");
  await using other = await createCa("another");
  await using serve = await openTestServe({ tls: await ca.sign("IP:127.0.0.1") });
  expect(serve.url).toStartWith("https://");
  const pinned = await client(serve, ca.caFile, serve.adminToken);
  expect((await pinned.post("/enrolment-codes", {})).status).toBe(201);
  for (const wrong of [other.caFile, null]) {
    const endpoint = await client(serve, wrong, serve.adminToken);
    await expect(endpoint.post("/enrolment-codes", {})).rejects.toMatchObject({ kind: "lasting", status: null });
  }
});

test("a certificate of another name is not accepted by the client", async () => {
  await using ca = await createCa();
  await using serve = await openTestServe({ tls: await ca.sign("DNS:elsewhere.example") });
  const endpoint = await client(serve, ca.caFile, serve.adminToken);
  await expect(endpoint.post("/enrolment-codes", {})).rejects.toMatchObject({ kind: "lasting" });
});

test.each([
  ["TLSv1", false],
  ["TLSv1.1", false],
  ["TLSv1.2", true],
  ["TLSv1.3", true],
] as const)("%s: %p", async (version, isSpoken) => {
  await using ca = await createCa();
  await using serve = await openTestServe({ tls: await ca.sign("IP:127.0.0.1") });
  const { stdout } =
    await Bun.$`openssl s_client -connect ${new URL(serve.url).host} ${flagOf(version)} -cipher ALL:@SECLEVEL=0 < /dev/null`
      .nothrow()
      .quiet();
  const text = stdout.toString();
  expect(text).toContain("CONNECTED");
  expect(/^\s*(New, )?(TLSv1(\.\d)?), Cipher is [A-Z]/m.test(text)).toBe(isSpoken);
});

const flagOf = (version: string) => `-${version.replace("TLSv", "tls").replace(".", "_")}`;

test("whoever speaks no TLS is sent away, and nothing else happens", async () => {
  await using ca = await createCa();
  await using serve = await openTestServe({ tls: await ca.sign("IP:127.0.0.1") });
  const plain = [
    "GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n",
    "\0".repeat(64),
    `\x16\x03\x01\xff\xff${"x".repeat(64)}`,
    "SSH-2.0-x\r\n",
  ];
  for (const bytes of plain) {
    const { status, text } = await rawRequest(serve.url, bytes);
    expect([0, 400]).toContain(status);
    expect(text).not.toContain("version");
  }
  const healthy = await fetch(`${serve.url}/api/v1/health`, { tls: { rejectUnauthorized: false } });
  expect(healthy.status).toBe(200);
  expect(serve.log.filter((line) => !line.includes("admin token"))).toEqual([]);
});

test("the cookie of a session travels over TLS only", async () => {
  await using ca = await createCa();
  await using serve = await openTestServe({ tls: await ca.sign("IP:127.0.0.1") });
  const login = await fetch(`${serve.url}/api/v1/session`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token: serve.adminToken }),
    tls: { rejectUnauthorized: false },
  });
  expect(login.headers.get("set-cookie")).toContain("; Secure");
});

test("a key of another certificate, and what is no PEM: said in words, and nothing listens", async () => {
  await using ca = await createCa();
  const [one, another] = [await ca.sign("IP:127.0.0.1"), await ca.sign("IP:127.0.0.1")];
  const pair = await refusalOf(openTestServe({ tls: { cert: one.cert, key: another.key } }));
  expect(pair).toMatchObject({ code: "config", message: "the TLS key does not belong to the certificate" });
  for (const tls of [
    { cert: "rubbish", key: one.key },
    { cert: one.cert, key: "rubbish" },
    { cert: one.key, key: one.key },
    { cert: "", key: "" },
  ]) {
    expect(await refusalOf(openTestServe({ tls }))).toMatchObject({
      code: "config",
      message: "the TLS certificate or its key cannot be read",
    });
  }
});
