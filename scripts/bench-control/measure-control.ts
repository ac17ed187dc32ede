/** Both databases, one after the other. */
import type { ControlFigures } from "./figures.ts";
import { type MeasureOptions, measureDatabase } from "./measure.ts";

export async function measureControl(options: MeasureOptions): Promise<ControlFigures> {
  const sqlite = await measureDatabase("sqlite", options);
  const postgres = await measureDatabase("postgres", options);
  return {
    date: new Date().toISOString().slice(0, 10),
    machines: options.machines,
    measured_s: options.measuredSeconds,
    sqlite: sqlite.load,
    postgres: postgres.load,
    start_ms: sqlite.start_ms,
    list_ms: sqlite.list_ms,
    start_postgres_ms: postgres.start_ms,
    list_postgres_ms: postgres.list_ms,
  };
}
