/** What the load generator is told, and what it answers; both as JSON. */

export interface LoadOptions {
  readonly machines: number;
  /** Where to send: machine i to port i modulo their number. */
  readonly ports: readonly number[];
  readonly intervalSeconds: number;
  readonly warmUpSeconds: number;
  readonly measuredSeconds: number;
}

export interface LoadResults {
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
  readonly sent: number;
  readonly acknowledged: number;
  readonly refused: number;
  readonly requests_per_s: number;
  readonly lateness_p99_ms: number;
  readonly generator_cpu: number;
  /** The sequence numbers that were acknowledged, for each machine in the order of the fleet. */
  readonly acknowledgedOf: readonly (readonly number[])[];
}
