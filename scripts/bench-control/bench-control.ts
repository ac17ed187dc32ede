/** `make bench-control`: a fleet that sends to serve, on SQLite and on PostgreSQL. docs/benchmarks.md */
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { echo } from "zx";
import { replaceControlFigures } from "./document.ts";
import { measureControl } from "./measure-control.ts";

const resultsPath = "build/bench-control.json";
const documentPath = "docs/benchmarks.md";

const figures = await measureControl({
  program: [resolve("build/reimage")],
  machines: Number(process.env.BENCH_MACHINES ?? 10_000),
  intervalSeconds: 5,
  warmUpSeconds: 10,
  measuredSeconds: Number(process.env.BENCH_SECONDS ?? 60),
  times: 10,
  folder: resolve("build/bench-control"),
  log: (line) => echo(line),
});
writeFileSync(resultsPath, `${JSON.stringify(figures, null, 2)}\n`);
writeFileSync(documentPath, replaceControlFigures(readFileSync(documentPath, "utf8"), figures));
echo(`written to ${resultsPath} and ${documentPath}`);
