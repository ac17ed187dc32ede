/** docs/benchmarks.md: the part between the control endpoint's markers is written from build/bench-control.json (pure). */
import { asMarkdown } from "../bench/table.ts";
import { type ControlFigures, type LoadFigures, reach } from "./figures.ts";

const begin = "<!-- control figures: written by `make bench-control`, do not edit -->";
const end = "<!-- end of the control figures -->";

/** @throws Error where the document has no place for the figures. */
export function replaceControlFigures(text: string, figures: ControlFigures): string {
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from === -1 || to < from) throw new Error(`the document has no place for the figures: ${begin}`);
  return `${text.slice(0, from)}${begin}\n\n${formatControlFigures(figures)}\n\n${text.slice(to)}`;
}

export function formatControlFigures(figures: ControlFigures): string {
  const { machines, measured_s, date } = figures;
  const row = (name: string, of: (load: LoadFigures) => number, wanted = "") => [
    name,
    String(of(figures.sqlite)),
    String(of(figures.postgres)),
    wanted,
  ];
  const rows = [
    ["", "SQLite, 1 process", "PostgreSQL, 2 processes", "reach"],
    row("requests/s", (load) => load.requests_per_s),
    row("p50 ms", (load) => load.p50_ms),
    row("p99 ms", (load) => load.p99_ms, `< ${reach.p99_ms}`),
    row("longest ms", (load) => load.max_ms),
    row("events sent", (load) => load.sent),
    row("acknowledged", (load) => load.acknowledged),
    row("acknowledged and lost", (load) => load.lost, "0"),
    row("refused", (load) => load.refused, "0"),
    row("most memory, MB", (load) => load.rss_mb),
    row("at first, MB", (load) => load.rss_first_mb),
    row("at last, MB", (load) => load.rss_last_mb),
    row("serve, cores", (load) => load.serve_cpu),
    row("generator, cores", (load) => load.generator_cpu),
    row("generator late, p99 ms", (load) => load.lateness_p99_ms),
    ["start to first answer, ms", String(figures.start_ms), String(figures.start_postgres_ms), `< ${reach.start_ms}`],
    [`list of ${machines}, ms`, String(figures.list_ms), String(figures.list_postgres_ms), `< ${reach.list_ms}`],
  ];
  return `Measured on ${date}: ${machines} machines, ${measured_s} s after the warm-up.\n\n${asMarkdown(rows)}`;
}
