/** The one error class: a code that programs can switch on, and words for the person in front of the machine. */

/** What kind of thing went wrong. Stable: reports and tests rely on these words. */
export type ErrorCode =
  | "usage" // the command line
  | "config" // the configuration file or a kernel command line key
  | "retention-list" // a line of the retention list
  | "required-file" // a file marked @required is not there
  | "image" // the image is missing, cut, corrupt, or not what it should be
  | "signature" // a key is configured and the image is not vouched for by it
  | "target" // no disk, or more than one, or not the one that boot info names
  | "target-busy" // the target is mounted or held
  | "too-small" // the target is smaller than the image
  | "memory" // RAM does not suffice
  | "ambiguous" // a name that must mean one file system means several
  | "old-os" // the old file systems cannot be found or read
  | "new-os" // the new file systems cannot be found or mounted
  | "retain" // reading a retained file, or keeping it in RAM
  | "restore" // writing a retained file into the new OS
  | "output" // a file that `reimage pack` makes cannot be written, or is there already
  | "network" // the network of this machine cannot be brought up
  | "device-io" // reading, writing or syncing a block device
  | "readback" // the device does not hold what was written
  | "partition-table" // a partition table cannot be parsed or made known to the kernel
  | "command" // an external command failed
  | "power" // a machine could not be switched, or asked whether it is on
  | "state" // what an earlier run left behind does not fit this run
  | "control" // the control endpoint gave no answer that counts
  | "lifeboat" // there is no room for a lifeboat, or it cannot be made, found or taken away
  | "aborted" // somebody stopped the run before its first write
  | "database" // the database of the control endpoint
  // What the control endpoint answers; see server/api/problems.ts for the statuses.
  | "invalid"
  | "unauthorized"
  | "forbidden"
  | "not-found"
  | "conflict"
  | "too-large"
  | "too-many"
  | "unavailable"
  | "unverified" // a report that says success and does not prove it
  | "bug"; // anything that was not expected

/** An error with an operator in mind. `message` names the object; `hint` says what to do. */
export class ReimageError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "ReimageError";
    this.code = code;
    this.hint = options.hint;
  }
}

/** Returns `thrown` as a ReimageError; anything else becomes code `bug` with the original as its cause. */
export function asReimageError(thrown: unknown): ReimageError {
  if (thrown instanceof ReimageError) return thrown;
  // Something failed, and then its cleaning up too: the first failure is the reason.
  if (thrown instanceof SuppressedError) return asReimageError(thrown.suppressed);
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new ReimageError("bug", message, {
    cause: thrown,
    hint: "this is a defect in reimage; please report it with the log",
  });
}

/** The message followed by the messages of its causes, outermost first, on one line. */
export function describeError(thrown: unknown): string {
  const parts: string[] = [];
  for (let e: unknown = thrown; e !== undefined && e !== null; e = e instanceof Error ? e.cause : undefined) {
    const text = e instanceof Error ? e.message : String(e);
    if (!parts.some((part) => part.includes(text))) parts.push(text);
  }
  return parts.join(": ");
}
