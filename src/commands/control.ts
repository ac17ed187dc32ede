/** The control endpoint of a run: opened for `init` and `run`, and handed to the stages as their overseer. */
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { openClient } from "../control/client/client.ts";
import { describeError } from "../errors.ts";
import type { Reporter } from "../report/events.ts";
import type { Sink } from "../report/sink.ts";
import { requireNotAborted } from "../stages/first-write.ts";
import { handOverName, nobody, type Overseer } from "../stages/overseer.ts";
import { eventsPath, reportPath } from "../stages/record.ts";
import { version } from "../version.ts";

/** What a run has of its endpoint. Disposing ends what is under way. */
export interface Control extends AsyncDisposable {
  readonly overseer: Overseer;
  /** To be called once report.json is written; takes a few seconds at most. */
  finish(): Promise<void>;
  isRescueWanted(): boolean;
}

export const noControl: Control = {
  overseer: nobody,
  finish: async () => {},
  isRescueWanted: () => false,
  [Symbol.asyncDispose]: async () => {},
};

/** A sink for what is opened after the reporter: the configuration says whether it is. */
export interface LateSink extends Sink {
  attach(sink: Sink): void;
}

export function createLateSink(): LateSink {
  let attached: Sink | null = null;
  return {
    name: "the control endpoint",
    receive: (event) => attached?.receive(event),
    attach(sink) {
      attached = sink;
    },
  };
}

export interface ControlOptions {
  readonly workDir: string;
  readonly runId: string;
  readonly reporter: Reporter;
  readonly lateSink: LateSink;
  readonly waitSeconds: number;
  readonly network: Promise<unknown>;
}

/**
 * Opens the client of the configured endpoint.
 * @throws ReimageError `config` where it decides and cannot be asked. Where it only listens, that is a warning.
 */
export async function openControl(config: Config, options: ControlOptions): Promise<Control> {
  const { control } = config;
  if (control === null) return noControl;
  const { workDir, runId, reporter, lateSink, waitSeconds, network } = options;
  try {
    const client = await openClient({
      ...{ config: control, workDir, runId, version, waitSeconds, network },
      eventsPath: eventsPath(workDir),
      reportPath: reportPath(workDir),
      handedOverPath: config.log === null ? null : join(config.log, handOverName),
      emit: reporter.emit,
      listen: lateSink.attach,
      requireNotAborted: () => requireNotAborted(workDir, runId),
    });
    return { ...client, overseer: client };
  } catch (error) {
    if (control.decides) throw error;
    const message = `the control endpoint is told nothing: ${describeError(error)}`;
    reporter.emit({ type: "warning", stage: null, message });
    return noControl;
  }
}
