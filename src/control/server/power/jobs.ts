/** Power jobs in a bounded pool: a hundred machines at once are a hundred jobs, and a handful of processes. */
import { asReimageError, ReimageError } from "../../../errors.ts";
import type { PowerAction, PowerAdapter, PowerVariables } from "./adapter.ts";
import { bootFromNetwork } from "./boot-from-network.ts";
import { type PowerResult, runPower } from "./run.ts";

export interface PowerRequest {
  readonly adapter: PowerAdapter;
  readonly action: PowerAction | "boot-from-network";
  readonly variables: PowerVariables;
}

export type PowerOutcome =
  | { readonly ok: true; readonly result: PowerResult }
  | { readonly ok: false; readonly error: ReimageError };

export interface PowerJob {
  readonly machine: string;
  readonly action: PowerRequest["action"];
  readonly state: "waiting" | "running" | "ended";
  /** Never rejects, and comes by the queue's time limit at the latest. */
  readonly outcome: Promise<PowerOutcome>;
}

/** Disposing cancels every job and waits until the last command has ended. */
export interface PowerQueue extends AsyncDisposable {
  /** Adds a job. The jobs of one machine run one after another, in this order; those of different machines side by side. */
  submit(request: PowerRequest): PowerJob;
  /** How many jobs wait and run. */
  counts(): { readonly waiting: number; readonly running: number };
}

export interface PowerQueueOptions {
  /** How many jobs, and so processes, there are at a time. */
  readonly parallel: number;
  /** The longest time from `submit` to the outcome; a job that has not ended by then is cancelled. */
  readonly jobTimeoutSeconds: number;
}

const STOPPING = "the server is stopping";

interface Entry {
  readonly request: PowerRequest;
  readonly job: { -readonly [Key in keyof PowerJob]: PowerJob[Key] };
  readonly cancel: AbortController;
  finish(outcome: PowerOutcome): void;
}

/** Opens a queue. */
export function createPowerQueue({ parallel, jobTimeoutSeconds }: PowerQueueOptions): PowerQueue {
  const waiting = new Set<Entry>(); // in the order of submission
  const running = new Map<string, { readonly entry: Entry; readonly ended: Promise<void> }>(); // by machine
  let isClosed = false;

  function pump(): void {
    for (const entry of waiting) {
      if (running.size >= parallel) return;
      if (running.has(entry.job.machine)) continue;
      waiting.delete(entry);
      entry.job.state = "running";
      running.set(entry.job.machine, { entry, ended: run(entry) });
    }
  }

  async function run(entry: Entry): Promise<void> {
    const outcome = await perform(entry.request, entry.cancel.signal);
    running.delete(entry.job.machine);
    entry.finish(outcome);
    pump();
  }

  /** Ends a job that waits; one that runs ends by itself once its command is killed. */
  function cancel(entry: Entry, reason: string): void {
    entry.cancel.abort(reason);
    if (waiting.delete(entry)) entry.finish(refusal(entry.request, reason));
  }

  return {
    submit(request) {
      const { promise, resolve } = Promise.withResolvers<PowerOutcome>();
      const { action, variables } = request;
      const job: Entry["job"] = { machine: variables.machine, action, state: "waiting", outcome: promise };
      const timer = setTimeout(() => cancel(entry, `the job had ${jobTimeoutSeconds} s`), jobTimeoutSeconds * 1000);
      const finish = (outcome: PowerOutcome) => {
        clearTimeout(timer);
        job.state = "ended";
        resolve(outcome);
      };
      const entry: Entry = { request, job, cancel: new AbortController(), finish };
      if (isClosed) {
        finish(refusal(request, STOPPING));
        return job;
      }
      waiting.add(entry);
      pump();
      return job;
    },
    counts: () => ({ waiting: waiting.size, running: running.size }),
    async [Symbol.asyncDispose]() {
      isClosed = true;
      for (const entry of [...waiting]) cancel(entry, STOPPING);
      for (const { entry } of running.values()) cancel(entry, STOPPING);
      await Promise.all([...running.values()].map(({ ended }) => ended));
    },
  };
}

async function perform({ adapter, action, variables }: PowerRequest, signal: AbortSignal): Promise<PowerOutcome> {
  try {
    const result =
      action === "boot-from-network"
        ? await bootFromNetwork(adapter, variables, { signal })
        : await runPower(adapter, action, variables, { signal });
    return { ok: true, result };
  } catch (thrown) {
    return { ok: false, error: asReimageError(thrown) };
  }
}

function refusal({ action, variables }: PowerRequest, reason: string): PowerOutcome {
  const message = `${variables.machine}: power ${action}: was not begun: ${reason}`;
  return { ok: false, error: new ReimageError("power", message, { hint: "nothing was switched: try again" }) };
}
