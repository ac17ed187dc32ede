/** What a run tells the world, as it happens: one union of events, and the interface of everything that listens. */

/** The stages of a run; and `pack`, which is the only one of its own program. */
export type StageName = "save" | "write" | "restore" | "pack";

/** What is known about the target disk: nothing written, part of it written, or a complete system committed. */
export type TargetState = "untouched" | "partial" | "complete";

/** Who the target is, so that a person can tell it from every other disk. */
export interface DiskIdentity {
  readonly path: string;
  readonly sizeBytes: number;
  readonly sectorSizeBytes: number;
  readonly serial: string | null;
  readonly wwn: string | null;
  readonly model: string | null;
}

/** An event without what the reporter adds (sequence number and time). */
export type EventBody =
  | {
      readonly type: "run-started";
      readonly version: string;
      readonly restarted: boolean;
      readonly hasLifeboat?: true;
    }
  | { readonly type: "stage-started"; readonly stage: StageName }
  | { readonly type: "step"; readonly stage: StageName | null; readonly message: string }
  /** For the log only: too long or too dull for a console. May hold several lines. */
  | { readonly type: "detail"; readonly stage: StageName | null; readonly message: string }
  | {
      readonly type: "progress";
      readonly stage: StageName;
      readonly what: string;
      readonly doneBytes: number;
      readonly totalBytes: number | null;
    }
  | { readonly type: "warning"; readonly stage: StageName | null; readonly message: string }
  | { readonly type: "stage-finished"; readonly stage: StageName; readonly seconds: number }
  | { readonly type: "target-state"; readonly state: TargetState; readonly hasLifeboat?: true }
  | { readonly type: "run-finished"; readonly target: "complete"; readonly disk: DiskIdentity }
  | {
      readonly type: "run-failed";
      readonly stage: StageName | null;
      readonly target: TargetState;
      readonly code: string;
      readonly reason: string;
      readonly hint: string | null;
      /** Whether the machine carries on from its lifeboat when it is started again. */
      readonly hasLifeboat?: true;
    };

/** An event as it is written to events.ndjson: `seq` grows by one over all processes of a run. */
export type Event = EventBody & { readonly seq: number; readonly time: string };

/** Where events go. It never throws: a broken console or a full log must not stop a reimage. */
export interface Reporter {
  emit(event: EventBody): void;
}
