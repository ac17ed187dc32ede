/**
 * The state record: how far a machine has come, over power cuts. Two copies, written in turn; each tells by itself whether
 * it is whole, so a write that is torn leaves the other copy, which is the state before it. Pure.
 */
import { bootLayout } from "./layout.ts";
import { openText, sealText } from "./sealed-text.ts";

const magic = "reimage lifeboat record 1\n";

/** In this order. `abandoned`: the old sector is back, and the old OS boots. */
export const lifeboatStates = ["armed", "saved", "writing", "written", "restored", "committed", "abandoned"] as const;
export type LifeboatState = (typeof lifeboatStates)[number];

/** A stretch of the bulk that holds something: how much, and its digest. */
export interface Parcel {
  readonly sizeBytes: number;
  readonly sha256: string;
}

export interface LifeboatRecord {
  /** Counts the writes; the whole copy with the larger one is the record. */
  readonly seq: number;
  /** Of the lifeboat that it belongs to: a record of an earlier one may lie at the same place. */
  readonly uuid: string;
  readonly state: LifeboatState;
  /** The last of the states that the run has ever been in: it goes back from `written` to `writing`. */
  readonly furthest: LifeboatState;
  /** How often the lifeboat has been booted since the run got further than ever before. */
  readonly attempts: number;
  /** What the run knows, in one of the two slots; null before `saved`. */
  readonly facts: (Parcel & { readonly slot: 0 | 1 }) | null;
  /** The archive of the retained files; null before `saved`, and once it is discarded. */
  readonly retained: Parcel | null;
  /** Why the last attempt failed; null where none has. */
  readonly reason: string | null;
}

/** What there is once a lifeboat is filled. */
export function firstRecord(uuid: string): LifeboatRecord {
  return { seq: 1, uuid, state: "armed", furthest: "armed", attempts: 0, facts: null, retained: null, reason: null };
}

/** The record that follows with a change. Attempts count anew only where the run gets further, or they would never end. */
export function nextRecord(record: LifeboatRecord, change: Partial<LifeboatRecord>): LifeboatRecord {
  const { state = record.state } = change;
  const isFurther = lifeboatStates.indexOf(state) > lifeboatStates.indexOf(record.furthest);
  const progress = isFurther ? { furthest: state, attempts: 0 } : {};
  return { ...record, ...progress, ...change, seq: record.seq + 1 };
}

/** The most of a reason that is kept: both copies have to stay within a sector. */
const longestReason = 400;

export function encodeRecord(record: LifeboatRecord): Buffer {
  const reason = record.reason === null ? null : record.reason.slice(0, longestReason);
  return sealText(magic, JSON.stringify({ ...record, reason }), bootLayout.recordBytes);
}

/** The record of a copy; null where it is not whole or belongs to another lifeboat. */
export function parseRecord(block: Buffer, uuid: string): LifeboatRecord | null {
  const text = openText(magic, block);
  if (text === null) return null;
  const record = JSON.parse(text) as LifeboatRecord; // its digest vouches for it
  return record.uuid === uuid ? record : null;
}

/** The newer of the copies that are whole, and which copy the next record goes to; null where none is whole. */
export function chooseRecord(
  copies: readonly [Buffer, Buffer],
  uuid: string,
): { readonly record: LifeboatRecord; readonly nextCopy: 0 | 1 } | null {
  const [a, b] = [parseRecord(copies[0], uuid), parseRecord(copies[1], uuid)];
  if (a !== null && (b === null || a.seq > b.seq)) return { record: a, nextCopy: 1 };
  return b === null ? null : { record: b, nextCopy: 0 };
}

/** Whether the old OS is whole in that state. */
export function isOldOsWhole(state: LifeboatState): boolean {
  return state === "armed" || state === "saved" || state === "abandoned";
}
