/** The benchmark of the control endpoint, small: what it writes down, and that it would see a loss. */
import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { replaceControlFigures } from "../../scripts/bench-control/document.ts";
import { countLost, makeFleet } from "../../scripts/bench-control/fleet.ts";
import { measureControl } from "../../scripts/bench-control/measure-control.ts";
import { temporaryDirectory } from "../support/loop-device.ts";

const MACHINES = 200;

test("measures both databases: all that was sent was taken, and is there", async () => {
  await using temporary = await temporaryDirectory();
  const figures = await measureControl({
    program: [process.execPath, resolve("src/main.ts")],
    machines: MACHINES,
    intervalSeconds: 1,
    warmUpSeconds: 1,
    measuredSeconds: 3,
    times: 1,
    folder: temporary.dir,
    log: () => {},
  });
  for (const load of [figures.sqlite, figures.postgres]) {
    expect(load).toMatchObject({ lost: 0, refused: 0, acknowledged: load.sent });
    expect(load.sent).toBeGreaterThan(MACHINES); // more than once each
    for (const value of [load.p50_ms, load.p99_ms, load.rss_mb, load.serve_cpu]) expect(value).toBeGreaterThan(0);
    expect(load.p99_ms).toBeGreaterThanOrEqual(load.p50_ms);
  }
  expect(figures.start_ms).toBeGreaterThan(0);
  expect(figures.list_ms).toBeGreaterThan(0);
  const document = await Bun.file("docs/benchmarks.md").text();
  const written = replaceControlFigures(document, figures);
  expect(written).toContain(`| acknowledged and lost | 0 | 0 | 0 |`);
  expect(replaceControlFigures(written, figures)).toBe(written);
}, 120_000);

test("what was acknowledged and is not stored is lost, also in the middle", () => {
  const fleet = makeFleet(3);
  const [a, b] = fleet.map(({ runId }) => runId);
  const stored = new Map([
    [a ?? "", new Set([1, 3])],
    [b ?? "", new Set([1, 2, 3])],
  ]);
  expect(countLost(fleet, [[1, 2, 3], [1, 2], [1]], stored)).toBe(2);
  expect(countLost(fleet, [[1, 3], [3], []], stored)).toBe(0);
});
