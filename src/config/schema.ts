/** The configuration: what it means once resolved, and the schema that a file and its overrides must satisfy. */
import { z } from "zod";
import {
  machineProblem,
  mountPointProblem,
  newFileSystemProblem,
  oldFileSystemProblem,
  sourceProblem,
  webAddressProblem,
} from "./names.ts";
import { type TargetSelector, targetSchema } from "./target-selector.ts";

export type { TargetSelector } from "./target-selector.ts";

/** The resolved configuration of a run. docs/configuration.md describes every key. */
export interface Config {
  readonly image: {
    /** `<filesystem>:<path>`, an http(s) URL, or the absolute path of a file; see `parseSource`. */
    readonly source: string;
    /** Same forms as `source`; null: `<source>.manifest.json`, if it exists. */
    readonly manifest: string | null;
    /** The file of one or more minisign public keys; counts only where the file exists, unless `publicKeyNamed`. */
    readonly publicKey: string;
    /** Whether the operator wrote `publicKey` down: then the file must exist. */
    readonly publicKeyNamed: boolean;
    /** Whether a signed image may be older than the one that boot info names. */
    readonly allowOlder: boolean;
    /** Further http(s) URLs of the same file, for a `source` that is one. */
    readonly mirrors: readonly string[];
    /** The file with the CA certificates (PEM) that replace the built-in ones; null: those. */
    readonly ca: string | null;
    /** How long a server may be silent before it is asked again. */
    readonly timeoutSeconds: number;
    /** How long no server may give a byte before the run ends. */
    readonly stallSeconds: number;
  };
  readonly target: { readonly disk: TargetSelector };
  readonly old: {
    /** LABEL= UUID= PARTLABEL= PARTUUID= /dev/…, or `none` for a machine without an old OS. */
    readonly root: string;
    /** Mount point below the old root to file system. */
    readonly mounts: Readonly<Record<string, string>>;
  };
  readonly new: {
    /** A partition number of the image in decimal (`"2"`), or LABEL= UUID= PARTLABEL= PARTUUID= on the target. */
    readonly root: string;
    /** Mount point below the new root to partition number or file system, as in `root`. */
    readonly mounts: Readonly<Record<string, string>>;
  };
  /** The retention list's file; null: nothing is retained. */
  readonly retention: { readonly list: string | null };
  /** Directory in the new OS that receives reimage.log and report.json; null: nowhere. */
  readonly log: string | null;
  readonly onSuccess: "reboot" | "poweroff" | "kexec";
  readonly onFailure: "shell" | "reboot" | "poweroff";
  /** Terminals with a shell for the technician; none on a hardened machine. */
  readonly shells: readonly string[];
  readonly watchdog: {
    readonly enabled: boolean;
    /** How long the hardware waits for a sign of life before it resets the machine. */
    readonly timeoutSeconds: number;
    /** How long a stage may show no progress before the watchdog is no longer fed. */
    readonly stallSeconds: number;
  };
  /** The longest wait for the disks that the configuration names to appear. */
  readonly waitSeconds: number;
  readonly control: ControlConfig | null;
}

/** The control endpoint: whom to tell, and maybe to ask. */
export interface ControlConfig {
  /** What stands before `/api/v1`. */
  readonly url: string;
  /** What this machine identifies itself with; null: `tokenFile` holds it. */
  readonly token: string | null;
  /** The file with the token, here or in the old OS; null: the default one, where it exists. */
  readonly tokenFile: string | null;
  /** The file with the CA certificates (PEM) that replace the built-in ones; null: those. */
  readonly ca: string | null;
  /** Whether nothing is written unless the endpoint says so. */
  readonly decides: boolean;
  /** The UUID by which the endpoint knows this machine; null: what the firmware says. */
  readonly machine: string | null;
  /** How long one request may take. */
  readonly timeoutSeconds: number;
}

/** Where the key is looked for if the configuration does not say. */
export const DEFAULT_PUBLIC_KEY = "/etc/reimage/image.pub";

const text = z
  .string("expected text (put a value made of digits in quotes)")
  .min(1, "must not be empty")
  .refine((value) => !/[\0-\x1f\x7f]/.test(value), "must be one line without control characters");
const seconds = z.int("expected a whole number of seconds").min(1, "must be at least 1");

/** Text that `problem` finds nothing wrong with. */
function checked(problem: (value: string) => string | null) {
  return text.superRefine((value, context) => {
    const message = problem(value);
    if (message !== null) context.addIssue(message);
  });
}

/** Mount points to file systems. */
function mounts<T extends z.ZodType>(fileSystem: T) {
  return z.record(absolutePath, fileSystem, "expected a mapping of mount points to file systems");
}

function section<T extends z.ZodRawShape>(shape: T) {
  return z.strictObject(shape, {
    error: (issue) => (issue.code === "invalid_type" ? "expected a mapping" : undefined),
  });
}

function oneOf<const T extends readonly string[]>(values: T) {
  return z.enum(values, `expected one of ${values.join(", ")}`);
}

const source = checked(sourceProblem);
const absolutePath = checked(mountPointProblem);
const newFileSystem = z
  .union([z.int(), text], "expected a partition number or a file system")
  .transform(String)
  .pipe(checked(newFileSystemProblem));
const url = checked(webAddressProblem);

/** The section of the control endpoint, which a configuration may consist of alone where nothing is reimaged. */
export const controlSchema = section({
  url,
  token: text.nullable().default(null),
  tokenFile: absolutePath.nullable().default(null),
  ca: absolutePath.nullable().default(null),
  decides: z.boolean("expected true or false").default(false),
  machine: checked(machineProblem).nullable().default(null),
  timeoutSeconds: seconds.default(10),
});

/** The sections that are there even if nothing is written in them. */
export const REQUIRED_SECTIONS = ["image", "target", "old", "new", "retention", "watchdog"] as const;

/** Every key with its default; the resolver makes the `Config` from what it returns. */
export const configSchema = section({
  image: section({
    source,
    manifest: source.nullable().default(null),
    publicKey: text.nullable().default(null),
    allowOlder: z.boolean("expected true or false").default(false),
    mirrors: z.array(url, "expected a list of http(s) URLs").default([]),
    ca: absolutePath.nullable().default(null),
    timeoutSeconds: seconds.default(30),
    stallSeconds: seconds.default(300),
  }),
  target: section({ disk: targetSchema }),
  old: section({
    root: checked((value) => (value === "none" ? null : oldFileSystemProblem(value))),
    mounts: mounts(checked(oldFileSystemProblem)).default({}),
  }),
  new: section({ root: newFileSystem, mounts: mounts(newFileSystem).default({}) }),
  retention: section({ list: text.nullable().default(null) }),
  log: absolutePath.nullable().default(null),
  onSuccess: oneOf(["reboot", "poweroff", "kexec"]).default("reboot"),
  onFailure: oneOf(["shell", "reboot", "poweroff"]).default("shell"),
  shells: z.array(text.regex(/^tty[A-Za-z0-9]+$/, "expected a terminal such as tty2")).default(["tty2", "tty3"]),
  watchdog: section({
    enabled: z.boolean("expected true or false").default(true),
    timeoutSeconds: seconds.default(60),
    stallSeconds: seconds.default(600),
  }),
  waitSeconds: z.int("expected a whole number of seconds").min(0, "must not be negative").default(60),
  control: controlSchema.nullable().default(null),
});
