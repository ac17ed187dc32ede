/** Answers that are not the file that was opened: an error, at once, and never a wrong byte. */
import { describe, expect, test } from "bun:test";
import { renameSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openHttpSource } from "../../src/http/source.ts";
import { errorOf, HttpFixture, patternBytes } from "../support/http-fixture.ts";
import type { Fault, SeenRequest } from "../support/http-server.ts";

const content = patternBytes(3_000_001);
const middle = 1_500_000;

/** Reads with a server that cuts its first answer in the middle, and then has `fault`; what was handed out, and the error. */
async function readBroken(
  fault: Fault | ((startBytes: number) => Fault),
  fixture: HttpFixture,
  changeFile?: () => unknown,
) {
  const server = await fixture.serve(({ index, range }) => {
    if (index < 2) return index === 0 ? null : { onlyBytes: middle };
    return typeof fault === "function" ? fault(range?.startBytes ?? 0) : fault;
  });
  await using source = await openHttpSource([server.url("/os.img")], fixture.options());
  let done = 0;
  const reading = async () => {
    for await (const piece of source.read(0, source.sizeBytes)) {
      expect(content.subarray(done, done + piece.length).equals(piece)).toBe(true);
      done += piece.length;
      if (done >= 1_000_000) await changeFile?.();
    }
  };
  const error = await errorOf(reading());
  return { error, done, requests: server.requests.length };
}

describe("a changed file", () => {
  const tags = { etag: '"a"', "last-modified": "Sat, 01 Jan 2022 00:00:00 GMT" };
  const later = "Sat, 01 Jan 2022 00:00:01 GMT";
  test.each<[string, Readonly<Record<string, string | null>>, Readonly<Record<string, string | null>>, RegExp]>([
    ["strong ETag", tags, { ...tags, etag: '"b"' }, /its ETag was "a" and now is "b"/],
    ["weak ETag", { etag: 'W/"a"' }, { etag: 'W/"b"' }, /its ETag was W\/"a" and now is W\/"b"/],
    ["an ETag that is gone", tags, { ...tags, etag: null }, /its ETag was "a" and now is not there/],
    [
      "same ETag, later Last-Modified",
      tags,
      { ...tags, "last-modified": later },
      /it was modified .*:00 GMT, and now .*:01 GMT/,
    ],
    ["Last-Modified alone", { ...tags, etag: null }, { etag: null, "last-modified": later }, /it was modified/],
    ["Last-Modified alone, gone", { ...tags, etag: null }, { etag: null, "last-modified": null }, /at an unknown time/],
  ])("%s", async (_, before, after, message) => {
    await using fixture = await HttpFixture.create(content);
    const server = await fixture.serve(({ index }) =>
      index === 0 ? { headers: before } : index === 1 ? { headers: before, onlyBytes: middle } : { headers: after },
    );
    const error = await errorOf(fixture.readAll([server]));
    expect(error).toMatch(message);
    expect(error).toStartWith(`image: image ${server.url("/os.img")} changed while it was being read: `);
    expect(server.requests.length).toBe(3);
  });

  test("size", async () => {
    await using fixture = await HttpFixture.create(content);
    const server = await fixture.serve(({ index, range }) =>
      index < 2
        ? { onlyBytes: middle }
        : { headers: { "content-range": `bytes ${range?.startBytes}-3000000/3000002` } },
    );
    expect(await errorOf(fixture.readAll([server]))).toMatch(/changed .* had 3000001 bytes and now has 3000002/);
  });

  /** As a file should be published: what is being sent stays what it was. */
  const replace = (file: string, data: Uint8Array) => {
    writeFileSync(`${file}.new`, data);
    renameSync(`${file}.new`, file);
  };
  const path = (fixture: HttpFixture) => join(fixture.directory, "os.img");
  test.each<[string, (fixture: HttpFixture) => unknown, RegExp]>([
    ["written again", (fixture) => utimesSync(path(fixture), 1, 1), /its ETag was/],
    [
      "longer",
      (fixture) => replace(path(fixture), patternBytes(3_100_000, 2)),
      /it had 3000001 bytes and now has 3100000/,
    ],
    [
      "shorter than what was read",
      (fixture) => replace(path(fixture), patternBytes(10, 2)),
      /it had 3000001 bytes and now has 10/,
    ],
  ])("a real one, %s", async (_, change, message) => {
    await using fixture = await HttpFixture.create(content);
    let hasChanged = false;
    const { error } = await readBroken({}, fixture, async () => {
      if (!hasChanged) await change(fixture);
      hasChanged = true;
    });
    expect(error).toMatch(message);
  });

  test("on a server without ranges, its length says so", async () => {
    await using fixture = await HttpFixture.create(content);
    const fault = { ignoreRange: true, headers: { etag: null, "last-modified": null } };
    const server = await fixture.serve(({ index }) =>
      index < 2
        ? { ...fault, onlyBytes: middle }
        : { ...fault, headers: { ...fault.headers, "content-length": "3000002" } },
    );
    expect(await errorOf(fixture.readAll([server]))).toMatch(/had 3000001 bytes and now has 3000002/);
  });
});

describe("an answer that cannot be right is not tried again", () => {
  const range = (first: number, last: number, total: string, length = last - first + 1): Fault => ({
    headers: { "content-range": `bytes ${first}-${last}/${total}`, "content-length": String(length) },
  });
  test.each<[string, Fault | ((startBytes: number) => Fault), RegExp]>([
    ["an earlier range", (at) => range(at - 1, 3_000_000, "3000001"), /announced the range "bytes [0-9]+-3000000/],
    ["a later range", (at) => range(at + 1, 3_000_000, "3000001"), /announced the range "bytes [0-9]+-3000000/],
    ["a shorter range", (at) => range(at, 2_999_999, "3000001"), /announced the range "bytes [0-9]+-2999999/],
    ["a range of unknown size", (at) => range(at, 3_000_000, "*"), /announced the range "bytes .*\/\*/],
    ["a wrong length", (at) => range(at, 3_000_000, "3000001", 17), /and announced 17 bytes/],
    ["no range", { headers: { "content-range": null } }, /announced the range "none"/],
    [
      "several ranges",
      { headers: { "content-range": null, "content-type": "multipart/byteranges; boundary=x" } },
      /"none"/,
    ],
    ["gzip", { headers: { "content-encoding": "gzip" } }, /sends the file in another encoding \("gzip"\)/],
    ["zstd of a whole file", { ignoreRange: true, headers: { "content-encoding": "zstd" } }, /another encoding/],
    ["404 in the middle", { status: 404 }, /answered 404 \(not found\)/],
    ["403 in the middle", { status: 403 }, /answered 403/],
    ["204", { status: 204 }, /answered 204/],
    ["304", { status: 304 }, /answered 304/],
  ])("%s", async (_, fault, message) => {
    await using fixture = await HttpFixture.create(content);
    const { error, done, requests } = await readBroken(fault, fixture);
    expect(error).toMatch(message);
    expect(error).toStartWith("image: http://127.0.0.1:");
    expect([done <= middle, requests]).toEqual([true, 3]);
  });

  test("more bytes than were asked for", async () => {
    await using fixture = await HttpFixture.create(content);
    const { error } = await readBroken({ chunked: true, extra: Buffer.from("x") }, fixture);
    expect(error).toMatch(/sent more than the [0-9]+ bytes it had/);
  });

  test("more bytes than the file has, from a server without ranges", async () => {
    await using fixture = await HttpFixture.create(content);
    const script = ({ index }: SeenRequest): Fault =>
      index === 0 ? { ignoreRange: true } : { ignoreRange: true, chunked: true, extra: Buffer.alloc(1000) };
    expect(await errorOf(fixture.readAll([await fixture.serve(script)]))).toMatch(/sent more than the 3000001 bytes/);
  });

  test("fewer bytes than were asked for, in chunks that end as they should: as if the connection had broken", async () => {
    await using fixture = await HttpFixture.create(content);
    const body = content.subarray(0, 1_000_000);
    const server = await fixture.serve(({ index }) => (index === 1 ? { chunked: true, body } : null));
    expect((await fixture.readAll([server])).equals(content)).toBe(true);
    expect(server.requests[2]?.range?.startBytes).toBe(1_000_000);
  });

  test("a body that is not as long as announced is a broken connection", async () => {
    await using fixture = await HttpFixture.create(content);
    const server = await fixture.serve(({ index }) =>
      index === 1 ? { body: content.subarray(0, 10), onlyBytes: 10 } : null,
    );
    expect((await fixture.readAll([server])).equals(content)).toBe(true);
  });

  test("no size at all", async () => {
    await using fixture = await HttpFixture.create(content);
    const server = await fixture.serve(() => ({ ignoreRange: true, chunked: true }));
    expect(await errorOf(fixture.readAll([server]))).toMatch(/does not say how large the file is/);
  });

  test.each<[string, Fault]>([
    ["two lengths", { headers: { "Content-Length": "5" } }],
    ["a negative one", { headers: { "content-length": "-5" } }],
    ["an impossible one", { headers: { "content-length": "99999999999999999999" } }],
    ["letters", { headers: { "content-length": "abc" } }],
  ])("a length that is none: %s", async (_, fault) => {
    await using fixture = await HttpFixture.create(content);
    const server = await fixture.serve(({ index }) => (index === 0 ? null : fault));
    expect(await errorOf(fixture.readAll([server], { stallSeconds: 0.2 }))).toMatch(/^image: /);
  });
});
