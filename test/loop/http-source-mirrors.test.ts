import { describe, expect, test } from "bun:test";
import { openHttpSource } from "../../src/http/source.ts";
import { collect, errorOf, HttpFixture, patternBytes } from "../support/http-fixture.ts";
import type { Fault } from "../support/http-server.ts";

const content = patternBytes(3_000_001);
const middle = 1_500_000;

describe("mirrors", () => {
  test.each<[string, Fault]>([
    ["is silent", { silent: true }],
    ["hangs up", { hangUp: true }],
    ["does not have the file", { status: 404 }],
    ["does not give the file", { status: 403 }],
    ["has an internal error", { status: 500 }],
  ])("the first one %s: the second is used", async (_, fault) => {
    await using fixture = await HttpFixture.create(content);
    const servers = [await fixture.serve(() => fault), await fixture.serve()];
    expect((await fixture.readAll(servers)).equals(content)).toBe(true);
    expect(servers[1]?.requests.length).toBe(2);
  });

  test.each<[string, Fault]>([
    ["breaks off", { onlyBytes: middle }],
    ["is silent", { onlyBytes: middle, ending: "stall" }],
  ])("the first one %s in the middle: the second one carries on from there", async (_, fault) => {
    await using fixture = await HttpFixture.create(content);
    const servers = [
      await fixture.serve(({ index }) => (index === 0 ? null : fault)),
      // Its own ETag: that is how copies are.
      await fixture.serve(() => ({ headers: { etag: '"another"' } })),
    ];
    expect((await fixture.readAll(servers)).equals(content)).toBe(true);
    const [first, second] = servers.map((server) => server.requests.map(({ range }) => range?.startBytes));
    expect([first?.length, second?.length]).toEqual([2, 2]);
    expect(second?.[1]).toBeWithin(1, middle + 1);
  });

  test("one that answers 404 in the middle is not asked again; another that breaks off is", async () => {
    await using fixture = await HttpFixture.create(content);
    const servers = [
      await fixture.serve(({ index }) => (index === 0 ? null : index === 1 ? { onlyBytes: 1000 } : { status: 404 })),
      await fixture.serve(({ index }) => (index === 0 ? null : index < 6 ? { onlyBytes: 200_000 } : null)),
    ];
    expect((await fixture.readAll(servers)).equals(content)).toBe(true);
    expect(servers.map(({ requests }) => requests.length)).toEqual([3, 7]);
  });

  test("none has the file: an error at once, with the reason of each", async () => {
    await using fixture = await HttpFixture.create(content);
    const servers = [await fixture.serve(() => ({ status: 404 })), await fixture.serve(() => ({ status: 403 }))];
    expect(await errorOf(fixture.readAll(servers))).toMatch(
      /cannot be read from any of its servers: .* answered 404 \(not found\); .* answered 403 \(forbidden\)/,
    );
    expect(servers.map(({ requests }) => requests.length)).toEqual([1, 1]);
  });

  test("all lose the file in the middle", async () => {
    await using fixture = await HttpFixture.create(content);
    const script = ({ index }: { index: number }): Fault | null =>
      index === 0 ? null : index === 1 ? { onlyBytes: 1000 } : { status: 410 };
    const servers = [await fixture.serve(script), await fixture.serve(script)];
    expect(await errorOf(fixture.readAll(servers))).toMatch(
      /any of its servers: .*answered 410 \(gone\); .*answered 410/,
    );
  });

  test("they have files of different size: refused before anything is read", async () => {
    await using fixture = await HttpFixture.create(content);
    const servers = [await fixture.serve(), await fixture.serveOther({ "os.img": patternBytes(3_000_000) })];
    expect(await errorOf(fixture.readAll(servers))).toMatch(
      /the servers have different files: .* has 3000001 bytes; .* has 3000000 bytes/,
    );
  });

  test("one that comes late, with a file of another size, is not used", async () => {
    await using fixture = await HttpFixture.create(content);
    const late = await fixture.serveOther({ "os.img": patternBytes(3_000_002, 2) }, ({ index }) =>
      index === 0 ? { status: 503 } : null,
    );
    const servers = [await fixture.serve(({ index }) => (index === 1 ? { onlyBytes: middle } : null)), late];
    expect((await fixture.readAll(servers)).equals(content)).toBe(true);
    expect(fixture.notes.join("\n")).toContain("has a file of 3000002 bytes instead of 3000001");
  });

  test("a change on the mirror that is asked is an error, though the other one has not changed", async () => {
    await using fixture = await HttpFixture.create(content);
    const changing = await fixture.serve(({ index }) => ({ headers: { etag: `"${index}"` } }));
    const servers = [changing, await fixture.serve()];
    expect(await errorOf(fixture.readAll(servers))).toMatch(/changed while it was being read/);
  });
});

describe("a server without Range support", () => {
  const whole: Fault = { ignoreRange: true };

  test("gives the file, in one answer, and in order", async () => {
    await using fixture = await HttpFixture.create(content);
    const server = await fixture.serve(() => whole);
    await using source = await openHttpSource([server.url("/os.img")], fixture.options());
    for (const [from, size] of [
      [0, 600],
      [600, 1000],
      [500_000, 10],
      [2_000_000, 1_000_001],
    ] as const) {
      expect((await collect(source.read(from, size))).equals(content.subarray(from, from + size))).toBe(true);
    }
    expect(server.requests.length).toBe(2); // one of them asked what the file is
    expect((await collect(source.read(5, 10))).equals(content.subarray(5, 15))).toBe(true);
    expect(server.requests.length).toBe(3);
  });

  test("after a break, what was had already is passed over", async () => {
    await using fixture = await HttpFixture.create(content);
    const server = await fixture.serve(({ index }) =>
      index === 0 || index > 5 ? whole : { ...whole, onlyBytes: index === 3 ? 100 : index * 500_000 },
    );
    expect((await fixture.readAll([server])).equals(content)).toBe(true);
  });

  test("one that never gets any further is given up", async () => {
    await using fixture = await HttpFixture.create(content);
    const server = await fixture.serve(({ index }) => (index === 0 ? whole : { ...whole, onlyBytes: middle }));
    expect(await errorOf(fixture.readAll([server]))).toMatch(
      /broke off 11 times without getting any further \(at byte [0-9]+/,
    );
  });

  test("it carries on where one with ranges broke off, and the other way round", async () => {
    await using fixture = await HttpFixture.create(content);
    const servers = [
      await fixture.serve(({ index }) => (index === 1 ? { onlyBytes: 1_000_000 } : null)),
      await fixture.serve(({ index }) => (index === 1 ? { ...whole, onlyBytes: 2_000_000 } : whole)),
    ];
    expect((await fixture.readAll(servers)).equals(content)).toBe(true);
    expect(servers.map(({ requests }) => requests.length)).toEqual([3, 2]);
  });
});
