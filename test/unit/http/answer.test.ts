import { describe, expect, test } from "bun:test";
import { findChange, interpretAnswer } from "../../../src/http/answer.ts";
import { connectionTrouble, statusTrouble } from "../../../src/http/trouble.ts";

const asked = { startBytes: 10, endBytes: 20 };
const right = { "content-range": "bytes 10-19/100", "content-length": "10" };

describe("interpretAnswer", () => {
  const tags = { etag: null, lastModified: null };

  test("a range, the whole file, and a file without such a range", () => {
    expect(interpretAnswer(206, new Headers({ ...right, etag: 'W/"x"', "last-modified": "then" }), asked)).toEqual({
      identity: { sizeBytes: 100, etag: 'W/"x"', lastModified: "then" },
      startBytes: 10,
      endBytes: 20,
    });
    const chunked = new Headers({ "content-range": "bytes 10-19/100", "transfer-encoding": "chunked" });
    expect(interpretAnswer(206, chunked, asked).endBytes).toBe(20);
    const whole = { identity: { ...tags, sizeBytes: 100 }, startBytes: 0, endBytes: 100 };
    expect(interpretAnswer(200, new Headers({ "content-length": "100" }), asked)).toEqual(whole);
    expect(interpretAnswer(200, new Headers(), asked).identity.sizeBytes).toBeNull();
    const none = { identity: { ...tags, sizeBytes: 5 }, startBytes: 0, endBytes: 0 };
    expect(interpretAnswer(416, new Headers({ "content-range": "bytes */5" }), asked)).toEqual(none);
  });

  test.each([
    ["bytes 10-20/100", "10"],
    ["bytes 10-18/100", "9"],
    ["bytes 9-19/100", "11"],
    ["bytes 010-19/100", "10"],
    ["bytes 10-19/*", "10"],
    ["bytes 10-19", "10"],
    ["items 10-19/100", "10"],
    ["bytes 10-19/100, bytes 30-39/100", "10"],
    ["bytes 10-19/100", "11"],
    ["bytes 10-19/99999999999999999", "10"],
  ])("%s with %s bytes is not what was asked for", (range, length) => {
    const headers = new Headers({ "content-range": range, "content-length": length });
    expect(() => interpretAnswer(206, headers, asked)).toThrow(/announced/);
  });

  test.each(["gzip", "br", "identity, gzip", "x"])("encoding %s is refused", (encoding) => {
    for (const status of [200, 206]) {
      const headers = new Headers({ ...right, "content-encoding": encoding });
      expect(() => interpretAnswer(status, headers, asked)).toThrow("sends the file in another encoding");
    }
  });

  test.each([
    [404, "absent"],
    [410, "absent"],
    [401, "lasting"],
    [403, "lasting"],
    [416, "lasting"],
    [204, "lasting"],
    [408, "passing"],
    [425, "passing"],
    [429, "passing"],
    [500, "passing"],
    [507, "passing"],
  ])("%p is %s", (status, kind) => expect(statusTrouble(status, new Headers()).kind).toBe(kind as never));

  test("Retry-After in seconds counts, where asking again helps", () => {
    const after = (status: number, text: string) =>
      statusTrouble(status, new Headers({ "retry-after": text })).pauseSeconds;
    expect([after(503, "7"), after(404, "7"), after(429, "tomorrow"), after(503, "-1")]).toEqual([7, 0, 0, 0]);
  });
});

describe("findChange", () => {
  const was = { sizeBytes: 5, etag: '"a"', lastModified: "t" };
  test.each([
    [{}, null],
    [{ sizeBytes: null }, null],
    [{ lastModified: null }, null],
    [{ sizeBytes: 6 }, "it had 5 bytes and now has 6"],
    [{ etag: 'W/"a"' }, 'its ETag was "a" and now is W/"a"'],
    [{ etag: null }, 'its ETag was "a" and now is not there'],
    [{ lastModified: "u" }, "it was modified t, and now u"],
  ])("%p", (now, change) => expect(findChange(was, { ...was, ...now })).toBe(change));

  test("without an ETag, Last-Modified must stay", () => {
    const plain = { ...was, etag: null };
    expect(findChange(plain, plain)).toBeNull();
    expect(findChange(plain, { ...plain, lastModified: null })).toContain("at an unknown time");
    expect(findChange({ ...plain, lastModified: null }, plain)).toContain("at an unknown time");
    expect(findChange(plain, { ...plain, etag: '"new"' })).toContain("its ETag was not there");
  });
});

test("the runtime's own words, which hold the URL, are not passed on", () => {
  const error = Object.assign(new Error('fetching "http://h/?token=s3cret"'), { code: "Strange" });
  expect(connectionTrouble(error).message).toBe("could not be read from (Strange)");
  expect(connectionTrouble("x").message).toBe("could not be read from (no reason given)");
});
