import { describe, expect, test } from "bun:test";
import { openHttpSource } from "../../src/http/source.ts";
import { collect, errorOf, HttpFixture, patternBytes } from "../support/http-fixture.ts";
import type { Fault } from "../support/http-server.ts";

const middle = 1_500_000;
const urlOf = (server: { url(path: string): string }) => server.url("/os.img");

describe("a server without faults", () => {
  test("the whole file, and any range of it, over one connection that is kept", async () => {
    await using fixture = await HttpFixture.create();
    const { content } = fixture;
    const server = await fixture.serve();
    await using source = await openHttpSource([urlOf(server)], fixture.options());
    expect([source.name, source.sizeBytes]).toEqual([urlOf(server), content.length]);
    expect((await collect(source.read(0, content.length))).equals(content)).toBe(true);
    for (const [from, size] of [
      [0, 1],
      [content.length - 1, 1],
      [7, 1000],
      [middle, 1_000_000],
      [5, 0],
    ] as const) {
      expect((await collect(source.read(from, size))).equals(content.subarray(from, from + size))).toBe(true);
    }
    expect([server.connections, fixture.notes]).toEqual([1, []]);
    expect(new Set(server.requests.map(({ headers }) => headers.get("accept-encoding")))).toEqual(
      new Set(["identity"]),
    );
  });

  test("several readers at a time, and one that ends early", async () => {
    await using fixture = await HttpFixture.create();
    const { content } = fixture;
    const server = await fixture.serve();
    await using source = await openHttpSource([urlOf(server)], fixture.options());
    for await (const piece of source.read(0, content.length)) {
      expect(content.subarray(0, piece.length).equals(piece)).toBe(true);
      break;
    }
    const parts = [0, 1, 2, 3, 4].map((i) => collect(source.read(i * 600_000, 600_000)));
    expect(Buffer.concat(await Promise.all(parts)).equals(content.subarray(0, 3_000_000))).toBe(true);
  });

  test("an empty file, and bytes that the file does not have", async () => {
    await using fixture = await HttpFixture.create(Buffer.alloc(0));
    await using source = await openHttpSource([urlOf(await fixture.serve())], fixture.options());
    expect(source.sizeBytes).toBe(0);
    expect(await collect(source.read(0, 0))).toEqual(Buffer.alloc(0));
    expect(await errorOf(collect(source.read(0, 1)))).toMatch(/^image: image http:.*os.img ended at byte 0$/);
  });

  test("ending the source ends a read that waits", async () => {
    await using fixture = await HttpFixture.create();
    const server = await fixture.serve(({ index }) => (index === 0 ? null : { silent: true }));
    const source = await openHttpSource([urlOf(server)], fixture.options({ timeoutSeconds: 20 }));
    const reading = errorOf(collect(source.read(0, 10)));
    while (server.requests.length < 2) await Bun.sleep(1);
    await source[Symbol.asyncDispose]();
    expect(await reading).toContain("was stopped");
  });
});

describe("a break in the middle is resumed at the byte that was reached", () => {
  const content = patternBytes(3_000_001);
  const faults: [string, Fault][] = [
    ["cut at 50 %", { onlyBytes: middle }],
    ["cut at -1 byte", { onlyBytes: content.length - 1 }],
    ["cut before the first byte", { onlyBytes: 0 }],
    ["reset", { onlyBytes: middle, ending: "reset" }],
    ["silent in the middle", { onlyBytes: middle, ending: "stall" }],
    ["silent from the beginning", { silent: true }],
    ["closed without an answer", { hangUp: true }],
    ["cut in chunks", { onlyBytes: middle, chunked: true }],
    ["no HTTP", { raw: "SSH-2.0-OpenSSH_9.2\r\n" }],
    ["cut in the head", { raw: "HTTP/1.1 206 Partial Content\r\ncontent-le" }],
    ["busy", { status: 503, headers: { "retry-after": "0" } }],
    ["too many requests", { status: 429 }],
    ["internal error", { status: 500 }],
  ];

  test.each(faults)("%s", async (_, fault) => {
    await using fixture = await HttpFixture.create(content);
    const server = await fixture.serve(({ index }) => (index === 1 || index === 2 ? fault : null));
    expect((await fixture.readAll([server])).equals(content)).toBe(true);
    expect(fixture.notes.length).toBeGreaterThan(0);
    const starts = server.requests.map(({ range }) => range?.startBytes ?? -1);
    expect(starts.toSorted((a, b) => a - b)).toEqual(starts); // never back
  });

  test("in chunks without a length, and drop by drop", async () => {
    await using fixture = await HttpFixture.create(patternBytes(5000));
    const server = await fixture.serve(({ index }) =>
      index % 2 === 0 ? { chunked: true } : { drip: { bytes: 700, everyMs: 1 } },
    );
    await using source = await openHttpSource([urlOf(server)], fixture.options());
    for (let i = 0; i < 2; i++) expect((await collect(source.read(0, 5000))).equals(fixture.content)).toBe(true);
    expect(fixture.notes).toEqual([]);
  });

  test("the server loses its power and comes back", async () => {
    await using fixture = await HttpFixture.create();
    const server = await fixture.serve(({ index }) => (index === 1 ? { onlyBytes: middle, ending: "stall" } : null));
    await using source = await openHttpSource([urlOf(server)], fixture.options());
    const pieces: Buffer[] = [];
    let size = 0;
    for await (const piece of source.read(0, source.sizeBytes)) {
      pieces.push(Buffer.from(piece));
      size += piece.length;
      if (size !== middle) continue;
      await server.stop();
      // Back as soon as it has been missed.
      void (async () => {
        while (!fixture.notes.some((note) => note.includes("refuses connections"))) await Bun.sleep(1);
        await server.listen();
      })();
    }
    expect(Buffer.concat(pieces).equals(fixture.content)).toBe(true);
    expect(fixture.notes.join("\n")).toContain("refuses connections");
  });

  test("the server is not there yet when it is first asked", async () => {
    await using fixture = await HttpFixture.create();
    const server = await fixture.serve();
    await server.stop();
    const reading = fixture.readAll([server]);
    while (fixture.notes.length < 3) await Bun.sleep(1);
    await server.listen();
    expect((await reading).equals(fixture.content)).toBe(true);
  });
});

test("the time that the reader takes does not count as the server's", async () => {
  await using fixture = await HttpFixture.create();
  const server = await fixture.serve(({ index }) =>
    index === 1 || index === 2 ? { onlyBytes: 400_000, ending: "stall" } : null,
  );
  await using source = await openHttpSource(
    [urlOf(server)],
    fixture.options({ timeoutSeconds: 0.1, stallSeconds: 0.3 }),
  );
  let size = 0;
  for await (const piece of source.read(0, source.sizeBytes)) {
    expect(fixture.content.subarray(size, size + piece.length).equals(piece)).toBe(true);
    size += piece.length;
    // Longer than any server may take; and then the server says nothing more.
    if (size === 400_000) await Bun.sleep(400);
  }
  expect([size, server.requests.length]).toEqual([fixture.content.length, 4]);
});

describe("an outage that lasts ends in an error", () => {
  test.each<[string, Fault, RegExp]>([
    ["silence", { silent: true }, /gave no byte for 0.5 s \(at byte 0 of 3000001\): .* was silent for 0/],
    ["errors", { status: 503 }, /gave no byte for 0.5 s .*answered 503 \(not available now\)/],
    ["hanging up", { hangUp: true }, /gave no byte for 0.5 s .*broke the connection/],
    ["a long Retry-After", { status: 429, headers: { "retry-after": "9999" } }, /gave no byte .*answered 429/],
  ])("%s", async (_, fault, message) => {
    await using fixture = await HttpFixture.create();
    const server = await fixture.serve(({ index }) => (index === 0 ? null : fault));
    expect(await errorOf(fixture.readAll([server], { stallSeconds: 0.5 }))).toMatch(message);
  });

  test("before anything is read, too", async () => {
    await using fixture = await HttpFixture.create();
    const server = await fixture.serve();
    await server.stop();
    const error = await errorOf(fixture.readAll([server], { stallSeconds: 0.2 }));
    expect(error).toMatch(/^image: .*gave no byte for 0.2 s \(nothing was read yet\): .*refuses connections/);
  });
});
