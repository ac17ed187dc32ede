/** How web servers are read from: what the operator can set, and what tests shorten. */

export interface HttpOptions {
  /** PEM file with the CA certificates that replace the built-in ones; null: those. */
  readonly caFile: string | null;
  /** How long a server may be silent, while it is connected to as well as later. */
  readonly timeoutSeconds: number;
  /** How long no server may give a byte. Only the time in which somebody waits for one counts. */
  readonly stallSeconds: number;
  /** The first pause before the same servers are asked again; each further one is twice as long, up to `longestPause`. */
  readonly firstPauseSeconds?: number;
  /** Told of everything that went wrong and is tried again; never holds a password. */
  readonly notify?: (text: string) => void;
}

/** The first pause that is used where none is given, in seconds. */
export const defaultFirstPauseSeconds = 1;

/** No pause is longer than this many first pauses. */
export const longestPause = 16;
