/** The options of the small client's commands: which endpoint, and who this machine is to it. */
import { existsSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { parseKernelCommandLine } from "../config/kernel-command-line.ts";
import { type Override, resolveReporting } from "../config/resolve.ts";
import type { ControlConfig } from "../config/schema.ts";
import { parseSetOption } from "../config/set-option.ts";
import { type Endpoint, openEndpoint } from "../control/client/endpoint.ts";
import { openKept } from "../control/client/kept.ts";
import { readMachineId } from "../control/client/machine-id.ts";
import { keptPath } from "../control/client/paths.ts";
import { defaultTokenFile, readTokenFile } from "../control/client/token.ts";
import { ReimageError } from "../errors.ts";
import { version } from "../version.ts";
import { defaultConfigPath } from "./run-options.ts";

/** The text of `--help` for the shared options. */
export const endpointUsage = `  --config FILE      the configuration (default ${defaultConfigPath}); only control and log count
  --set key=value    overrides one key; may be repeated
  --url URL          the endpoint; short for --set control.url=URL
  --token-file FILE  where this machine's token is; short for --set control.tokenFile=FILE
  --ca FILE          the CA certificates of the endpoint; short for --set control.ca=FILE
  --machine UUID     who this machine is; short for --set control.machine=UUID`;

/** The options of node:util that go with it. */
export const endpointOptions = {
  config: { type: "string" },
  set: { type: "string", multiple: true },
  url: { type: "string" },
  "token-file": { type: "string" },
  ca: { type: "string" },
  machine: { type: "string" },
} as const;

interface Values {
  readonly config?: string | undefined;
  readonly set?: readonly string[] | undefined;
  readonly url?: string | undefined;
  readonly "token-file"?: string | undefined;
  readonly ca?: string | undefined;
  readonly machine?: string | undefined;
}

/** As parseArgs of node:util. @throws ReimageError `usage` */
export function parseOptions<T extends NonNullable<Parameters<typeof parseArgs>[0]>["options"]>(
  args: readonly string[],
  options: T,
) {
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (cause) {
    throw new ReimageError("usage", cause instanceof Error ? cause.message : String(cause), { hint: "see --help" });
  }
}

/** Which endpoint is meant, and the directory of the log. @throws ReimageError `config` where none is configured. */
export function resolveEndpoint(values: Values): { readonly control: ControlConfig; readonly log: string | null } {
  const path = values.config ?? defaultConfigPath;
  if (!existsSync(path) && values.config !== undefined) {
    throw new ReimageError("config", `the configuration ${path} is not there`, { hint: "check --config" });
  }
  const text = existsSync(path) ? readFileSync(path, "utf8") : null;
  const short = { url: values.url, tokenFile: values["token-file"], ca: values.ca, machine: values.machine };
  const given = Object.entries(short).flatMap(([key, value]): Override[] =>
    value === undefined ? [] : [{ key: `control.${key}`, value, origin: "the command line" }],
  );
  // In the initramfs the kernel command line overrides the file; an old OS was started with another one.
  const isInitramfs = existsSync("/zz-complete") && values.config === undefined;
  const kernel = isInitramfs ? parseKernelCommandLine(readFileSync("/proc/cmdline", "utf8")) : [];
  const overrides = [...kernel, ...(values.set ?? []).map(parseSetOption), ...given];
  if (values["token-file"] !== undefined) overrides.push({ key: "control.token", value: "", origin: "--token-file" });
  const { control, log } = resolveReporting(text, path, overrides);
  if (control !== null) return { control, log };
  throw new ReimageError("config", "no control endpoint is configured", {
    hint: `name it with --url, or in control.url of ${path}`,
  });
}

/** The endpoint as this machine speaks to it, and the machine's name there. */
export async function openConfiguredEndpoint(
  control: ControlConfig,
  workDir: string | null,
): Promise<{ readonly endpoint: Endpoint; readonly machineId: string }> {
  const file = control.tokenFile ?? defaultTokenFile;
  const kept = workDir === null ? null : openKept(keptPath(workDir)).get().oldToken;
  const token = control.token ?? readTokenFile(file) ?? kept;
  if (token === null) {
    throw new ReimageError("config", `this machine has no token: ${file} is not there`, {
      hint: "enrol the machine with reimage enroll, or name the file with --token-file",
    });
  }
  const endpoint = await openEndpoint({ config: control, token: () => token, version });
  return { endpoint, machineId: readMachineId(control.machine) };
}
