import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { openHttpSource } from "../../src/http/source.ts";
import { createCa, type PrivateCa } from "../support/certificates.ts";
import { collect, errorOf, HttpFixture, patternBytes } from "../support/http-fixture.ts";

const content = patternBytes(2_000_001);
let ca: PrivateCa;
let otherCa: PrivateCa;
beforeAll(async () => {
  [ca, otherCa] = await Promise.all([createCa(), createCa("another CA")]);
});
afterAll(async () => {
  await ca[Symbol.asyncDispose]();
  await otherCa[Symbol.asyncDispose]();
});

describe("https", () => {
  test("a certificate of the private CA, and a break in the middle", async () => {
    await using fixture = await HttpFixture.create(content);
    const script = ({ index }: { index: number }) => (index === 1 ? { onlyBytes: 1_000_000 } : null);
    const server = await fixture.serve(script, await ca.sign("IP:127.0.0.1"));
    expect((await fixture.readAll([server], { caFile: ca.caFile })).equals(content)).toBe(true);
    expect(fixture.notes.length).toBe(1);
  });

  test.each<[string, string, string | undefined, string | undefined, RegExp]>([
    [
      "has expired",
      "IP:127.0.0.1",
      "20200101000000Z",
      "20210101000000Z",
      /has expired \(the clock of this machine says 20..-..-.. ..:.. UTC\)/,
    ],
    [
      "is not valid yet",
      "IP:127.0.0.1",
      "20800101000000Z",
      "20900101000000Z",
      /not valid yet \(the clock of this machine says/,
    ],
    ["is for another name", "DNS:other.example", undefined, undefined, /shows a certificate for another name/],
  ])("a certificate that %s", async (_, subject, from, to, message) => {
    await using fixture = await HttpFixture.create(content);
    const server = await fixture.serve(undefined, await ca.sign(subject, from, to));
    expect(await errorOf(fixture.readAll([server], { caFile: ca.caFile }))).toMatch(message);
    expect(server.requests).toEqual([]);
  });

  test("a certificate of another CA, and of none that is known; the private CA replaces the others", async () => {
    await using fixture = await HttpFixture.create(content);
    const server = await fixture.serve(undefined, await otherCa.sign("IP:127.0.0.1"));
    for (const caFile of [ca.caFile, null]) {
      expect(await errorOf(fixture.readAll([server], { caFile }))).toMatch(
        /of a CA that is not trusted here \(image.ca/,
      );
    }
    expect((await fixture.readAll([server], { caFile: otherCa.caFile })).equals(content)).toBe(true);
    expect(await errorOf(fixture.readAll([server], { caFile: ca.caFile }))).toContain("not trusted");
  });

  test("the environment cannot switch the check off", async () => {
    await using fixture = await HttpFixture.create(content);
    const server = await fixture.serve(undefined, await otherCa.sign("IP:127.0.0.1"));
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    try {
      expect(await errorOf(fixture.readAll([server], { caFile: ca.caFile }))).toContain("not trusted");
    } finally {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    }
  });

  test("a mirror with a bad certificate is left out", async () => {
    await using fixture = await HttpFixture.create(content);
    const bad = await fixture.serve(undefined, await otherCa.sign("IP:127.0.0.1"));
    const good = await fixture.serve(undefined, await ca.sign("IP:127.0.0.1"));
    expect((await fixture.readAll([bad, good], { caFile: ca.caFile })).equals(content)).toBe(true);
  });

  test("a server that speaks no TLS", async () => {
    await using fixture = await HttpFixture.create(content);
    await using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("x") });
    const url = `https://127.0.0.1:${server.port}/os.img`;
    const error = await errorOf(openHttpSource([url], fixture.options({ stallSeconds: 0.2 })));
    expect(error).toMatch(/gave no byte for 0.2 s .* cannot be agreed with on TLS/);
  });

  test("a CA file that is not there, and one that holds none", async () => {
    await using fixture = await HttpFixture.create(content);
    const server = await fixture.serve();
    const path = join(fixture.directory, "ca.pem");
    const open = () => errorOf(fixture.readAll([server], { caFile: path }));
    expect(await open()).toBe(`config: the CA certificates ${path} cannot be read`);
    await Bun.write(path, "nothing");
    expect(await open()).toBe(`config: ${path} holds no CA certificate`);
    await Bun.write(path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    expect(await open()).toBe(`config: ${path} holds a certificate that cannot be read`);
  });
});

describe("redirections", () => {
  const redirect = (location: string, status = 302) => ({ status, headers: { location } });

  test.each([301, 302, 303, 307, 308])("%p, to another server", async (status) => {
    await using fixture = await HttpFixture.create(content);
    const to = await fixture.serve();
    const from = await fixture.serve(() => redirect(to.url("/os.img"), status));
    expect((await fixture.readAll([from])).equals(content)).toBe(true);
  });

  test("a relative one, ten in a row; and one too many", async () => {
    await using fixture = await HttpFixture.create(content);
    const server = await fixture.serve(({ path }) => {
      const count = Number(path.split("?")[1] ?? 0);
      return count < 10 ? redirect(`os.img?${count + 1}`) : null;
    });
    expect((await fixture.readAll([server])).equals(content)).toBe(true);
    server.script = () => redirect("/os.img");
    expect(await errorOf(fixture.readAll([server]))).toMatch(/redirects more than 10 times/);
    server.script = () => redirect("gopher://x/");
    expect(await errorOf(fixture.readAll([server]))).toMatch(/something that is no web server \(gopher:\)/);
    server.script = () => ({ status: 302 });
    expect(await errorOf(fixture.readAll([server]))).toMatch(/does not say where to/);
  });

  test("never from https to http", async () => {
    await using fixture = await HttpFixture.create(content);
    const plain = await fixture.serve();
    const safe = await fixture.serve(() => redirect(plain.url("/os.img")), await ca.sign("IP:127.0.0.1"));
    const error = await errorOf(fixture.readAll([safe], { caFile: ca.caFile }));
    expect(error).toMatch(/redirects from https to http/);
    expect(plain.requests).toEqual([]);
  });
});

describe("credentials", () => {
  const secret = "s3cret/pässword";
  const header = `Basic ${Buffer.from(`kiosk:${secret}`).toString("base64")}`;
  const host = `kiosk:${encodeURIComponent(secret)}@127.0.0.1`;

  test("are sent, and shown nowhere; not to another server", async () => {
    await using fixture = await HttpFixture.create(content);
    const elsewhere = await fixture.serve();
    const server = await fixture.serve(({ headers, path, index }) => {
      if (headers.get("authorization") !== header) return { status: 401 };
      if (path.includes("away")) return { status: 302, headers: { location: elsewhere.url("/os.img") } };
      return index === 1 ? { onlyBytes: 1000 } : null;
    });
    for (const path of ["/os.img?token=s3cret", "/os.img?away"]) {
      await using source = await openHttpSource([server.url(path, host)], fixture.options());
      expect((await collect(source.read(0, content.length))).equals(content)).toBe(true);
      expect(source.name).toBe(`${server.url("/os.img")}?<hidden>`);
    }
    expect(elsewhere.requests.map(({ headers }) => headers.has("authorization"))).toEqual([false, false]);
    const wrong = await errorOf(
      openHttpSource([server.url("/os.img?x=s3cret", "kiosk:s3cret@127.0.0.1")], fixture.options()),
    );
    expect(wrong).toMatch(/answered 401 \(a user name and a password are asked for, or these are wrong\)/);
    expect(fixture.notes.length).toBeGreaterThan(1);
    expect([wrong, ...fixture.notes].join("\n")).not.toMatch(/s3cret|a2lvc2s/);
  });
});

test("proxies of the environment are not used", async () => {
  await using fixture = await HttpFixture.create(content);
  const proxy = await fixture.serve();
  const server = await fixture.serve();
  const names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
  for (const name of names) process.env[name] = proxy.url("/");
  try {
    expect((await fixture.readAll([server])).equals(content)).toBe(true);
  } finally {
    for (const name of names) delete process.env[name];
  }
  expect(proxy.connections).toBe(0);
  // Set before the program starts, as the kernel would.
  const program = `
    const { openHttpSource } = await import(${JSON.stringify(join(import.meta.dir, "../../src/http/source.ts"))});
    const source = await openHttpSource([process.argv[1]], { caFile: null, timeoutSeconds: 5, stallSeconds: 5 });
    process.stdout.write(String(source.sizeBytes)); await source[Symbol.asyncDispose]();`;
  const env = Object.fromEntries(names.map((name) => [name, proxy.url("/")]));
  const child = Bun.spawn([process.execPath, "-e", program, server.url("/os.img")], { env });
  expect(await new Response(child.stdout).text()).toBe(String(content.length));
  expect(proxy.connections).toBe(0);
});
