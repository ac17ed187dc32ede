/** The figures of the control endpoint, and how they are made of what was measured (pure). */

/** A fleet that sends, on one kind of database. */
export interface LoadFigures {
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
  /** Events, the warm-up included. */
  readonly sent: number;
  readonly acknowledged: number;
  /** Acknowledged, and not in the database. */
  readonly lost: number;
  /** Answers other than 200, and connections that broke. */
  readonly refused: number;
  readonly requests_per_s: number;
  /** Resident memory of the serve processes together: the most, at the beginning and at the end of what was measured. */
  readonly rss_mb: number;
  readonly rss_first_mb: number;
  readonly rss_last_mb: number;
  /** Cores that were busy. */
  readonly serve_cpu: number;
  readonly generator_cpu: number;
  /** How late the generator was with its own sending: that is the machine's noise. */
  readonly lateness_p99_ms: number;
}

export interface ControlFigures {
  readonly date: string;
  readonly machines: number;
  readonly measured_s: number;
  readonly sqlite: LoadFigures;
  readonly postgres: LoadFigures;
  /** From the start of the process to its first answer; SQLite. */
  readonly start_ms: number;
  /** The whole list, read by a client; SQLite. */
  readonly list_ms: number;
  readonly start_postgres_ms: number;
  readonly list_postgres_ms: number;
}

/** The q-th part of the values, in order. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = Float64Array.from(values).sort();
  return round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0);
}

export const round = (value: number): number => Number(value.toFixed(2));

/** What is to be reached. */
export const reach = { p99_ms: 100, start_ms: 300, list_ms: 100 };
