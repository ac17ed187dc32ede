import { describe, expect, test } from "bun:test";
import { besideEach } from "../../src/http/address.ts";
import { fetchSmall } from "../../src/http/small.ts";
import { errorOf, HttpFixture, patternBytes } from "../support/http-fixture.ts";
import type { Fault, HttpServer } from "../support/http-server.ts";

const manifest = patternBytes(20_000, 3);
const files = { "os.img.manifest.json": manifest };

function fetchManifest(fixture: HttpFixture, servers: readonly HttpServer[], limitBytes = 1 << 20, stallSeconds = 20) {
  const urls = besideEach(
    servers.map((server) => server.url("/os.img?token=1")),
    ".manifest.json",
  );
  return fetchSmall(urls, fixture.options({ stallSeconds }), limitBytes);
}

describe("a small file beside the image", () => {
  test("is read as a whole, in chunks too", async () => {
    await using fixture = await HttpFixture.create();
    const server = await fixture.serveOther(files);
    expect(await fetchManifest(fixture, [server])).toEqual(manifest);
    server.script = () => ({ chunked: true });
    expect(await fetchManifest(fixture, [server])).toEqual(manifest);
    expect(await fetchManifest(fixture, [server], manifest.length)).toEqual(manifest);
    expect(server.requests.map(({ path }) => path)).toEqual(Array(3).fill("/os.img.manifest.json?token=1"));
  });

  test("is nowhere: null", async () => {
    await using fixture = await HttpFixture.create();
    const servers = [await fixture.serve(), await fixture.serve(() => ({ status: 410 }))];
    expect(await fetchManifest(fixture, servers)).toBeNull();
  });

  test("is on one of them only", async () => {
    await using fixture = await HttpFixture.create();
    expect(await fetchManifest(fixture, [await fixture.serve(), await fixture.serveOther(files)])).toEqual(manifest);
  });

  test("one says no, and the other one nothing: it might be there, so it is an error", async () => {
    await using fixture = await HttpFixture.create();
    const servers = [await fixture.serve(), await fixture.serve(() => ({ status: 503 }))];
    expect(await errorOf(fetchManifest(fixture, servers, 100, 0.2))).toMatch(
      /gave no byte for 0.2 s .* answered 404.* answered 503/,
    );
    const forbidden = [await fixture.serve(), await fixture.serve(() => ({ status: 403 }))];
    expect(await errorOf(fetchManifest(fixture, forbidden))).toMatch(/answered 404 .* answered 403/);
  });

  test.each<[string, Fault]>([
    ["cut", { onlyBytes: 19_999 }],
    ["cut in chunks", { chunked: true, onlyBytes: 10_000 }],
    ["reset", { onlyBytes: 5, ending: "reset" }],
    ["silent in the middle", { onlyBytes: 10, ending: "stall" }],
    ["an error that passes", { status: 502 }],
    ["no HTTP", { raw: "\0\r\n\r\n" }],
  ])("%s, and then as it should be", async (_, fault) => {
    await using fixture = await HttpFixture.create();
    const server = await fixture.serveOther(files, ({ index }) => (index < 2 ? fault : null));
    expect(await fetchManifest(fixture, [server])).toEqual(manifest);
  });

  test.each<[string, Fault, RegExp]>([
    ["larger than it may be", {}, /is larger than such a file can be \(19999 bytes\)/],
    ["the same in chunks", { chunked: true }, /is larger than such a file can be \(19999 bytes\)/],
    ["compressed", { headers: { "content-encoding": "gzip" } }, /another encoding/],
    ["without an end", { headers: { "content-length": null }, onlyBytes: 10 }, /does not say where the file ends/],
    ["always cut", { onlyBytes: 100, ending: "stall" }, /broke off 11 times without getting any further/],
  ])("%s: an error", async (_, fault, message) => {
    await using fixture = await HttpFixture.create();
    const server = await fixture.serveOther(files, () => fault);
    const options = fixture.options({ timeoutSeconds: 0.05 });
    const [url = ""] = besideEach([server.url("/os.img")], ".manifest.json");
    expect(await errorOf(fetchSmall([url], options, 19_999))).toMatch(message);
  });
});
