/** Random faults, from a seed: what comes out is the file, byte for byte, or an error. */
import { expect, test } from "bun:test";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ReimageError } from "../../src/errors.ts";
import { openHttpSource } from "../../src/http/source.ts";
import { HttpFixture, patternBytes } from "../support/http-fixture.ts";
import type { Fault } from "../support/http-server.ts";
import { createRandom } from "../unit/image-manifest/random.ts";

const content = patternBytes(900_001);
const other = patternBytes(900_001, 9);

type Random = (limit: number) => number;

/** @param isKnown whether the server has been asked before: another file from one that is new cannot be told apart */
function randomFault(random: Random, startBytes: number, isKnown: boolean): Fault | null {
  const onlyBytes = random(3) === 0 ? random(2000) : random(content.length);
  const etag = random(4) === 0 ? { etag: '"changed"' } : {};
  const faults: (Fault | null)[] = [
    null,
    { onlyBytes },
    { onlyBytes, ending: "reset" },
    { onlyBytes, ending: "stall" },
    { onlyBytes, chunked: true, headers: etag },
    { ignoreRange: true },
    { ignoreRange: true, onlyBytes },
    { hangUp: true },
    { silent: true },
    { status: [404, 500, 503, 429, 416, 204][random(6)] ?? 500 },
    { chunked: true, extra: patternBytes(1 + random(5000), 5) },
    { headers: { "content-range": `bytes ${startBytes + random(3) - 1}-900000/900001` } },
    { headers: { "content-length": String(random(content.length)) }, onlyBytes },
    { headers: { "content-encoding": "gzip" } },
    // The bytes of another file, under its own ETag: never to be seen.
    isKnown ? { body: other.subarray(startBytes), headers: { etag: '"other"' } } : null,
    { drip: { bytes: 20_000 + random(50_000), everyMs: 0 } },
    { raw: "HTTP/1.1 206 OK\r\ncontent-length: 7\r\n" },
  ];
  return faults[random(faults.length)] ?? null;
}

/** One file, two or three servers, faults with a chance of one in `rarity`. @returns whether all of it was read */
async function runCase(fixture: HttpFixture, seed: number): Promise<boolean> {
  const next = createRandom(seed);
  const random: Random = (limit) => Math.floor(next() * limit);
  const rarity = 1 + random(4);
  const servers = [];
  for (let i = 0; i <= random(3); i++) {
    let isKnown = false;
    const server = await fixture.serve(({ range }) => {
      if (random(rarity) === 0) return randomFault(random, range?.startBytes ?? 0, isKnown);
      isKnown = true;
      return null;
    });
    servers.push(server);
  }
  try {
    const urls = servers.map((server) => server.url("/os.img"));
    await using source = await openHttpSource(urls, fixture.options({ timeoutSeconds: 0.02, stallSeconds: 0.5 }));
    expect(source.sizeBytes).toBe(content.length);
    for (let reads = 0; reads < 3; reads++) {
      const from = random(content.length);
      const size = random(content.length - from);
      let at = from;
      for await (const piece of source.read(from, size)) {
        if (!content.subarray(at, at + piece.length).equals(piece))
          throw new Error(`seed ${seed}: wrong byte after ${at}`);
        at += piece.length;
      }
      if (at !== from + size) throw new Error(`seed ${seed}: ended at ${at} instead of ${from + size}`);
    }
    return true;
  } catch (error) {
    if (error instanceof ReimageError && error.code === "image") return false;
    throw error;
  } finally {
    for (const server of servers) await server.stop();
  }
}

/** `RANDOM_SERVERS` and `RANDOM_SEED` search further than the tests do. */
const cases = Number(process.env.RANDOM_SERVERS ?? 300);
const firstSeed = Number(process.env.RANDOM_SEED ?? 1);

test(`${cases} random servers`, async () => {
  await using fixture = await HttpFixture.create(content);
  let whole = 0;
  for (let seed = firstSeed; seed < firstSeed + cases; seed += 10) {
    const results = await Promise.all(Array.from({ length: 10 }, (_, i) => runCase(fixture, seed + i)));
    whole += results.filter((isWhole) => isWhole).length;
  }
  // Both endings must occur, or the test shows nothing.
  expect(whole).toBeWithin(cases / 6, cases * 0.97);
}, 3_600_000);

test("a slow reader of 1 GiB takes no memory for what it has not read", async () => {
  await using fixture = await HttpFixture.create(Buffer.alloc(0));
  const sizeBytes = 2 ** 30;
  const path = join(fixture.directory, "big.img");
  writeFileSync(path, "");
  truncateSync(path, sizeBytes); // a hole: it takes no room
  const server = await fixture.serve();
  const program = `
    const { openHttpSource } = await import(${JSON.stringify(join(import.meta.dir, "../../src/http/source.ts"))});
    const source = await openHttpSource([process.argv[1]], { caFile: null, timeoutSeconds: 30, stallSeconds: 300 });
    let size = 0, pieces = 0;
    for await (const piece of source.read(0, source.sizeBytes)) {
      size += piece.length;
      if (pieces++ % 32 === 0) await Bun.sleep(5);
    }
    const status = await Bun.file("/proc/self/status").text(); // getrusage would count what its parent had
    console.log(JSON.stringify({ size, peakBytes: Number(/VmHWM:\\s+(\\d+)/.exec(status)[1]) * 1024 }));
    await source[Symbol.asyncDispose]();`;
  const child = Bun.spawn([process.execPath, "-e", program, server.url("/big.img")], { env: {} });
  const { size, peakBytes } = JSON.parse(await new Response(child.stdout).text());
  expect(size).toBe(sizeBytes);
  expect(peakBytes).toBeWithin(1 << 20, 150 << 20);
}, 120_000);
