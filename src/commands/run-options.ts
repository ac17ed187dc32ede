/** The options that `plan` and `run` share: which configuration, and where the work directory is. */
import { existsSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { parseKernelCommandLine } from "../config/kernel-command-line.ts";
import { resolveConfig } from "../config/resolve.ts";
import type { Config } from "../config/schema.ts";
import { parseSetOption } from "../config/set-option.ts";
import { ReimageError } from "../errors.ts";

/** Where the configuration is looked for where `--config` does not say. */
export const defaultConfigPath = "/etc/reimage/reimage.yaml";
/** Where a run keeps what it knows where `--work` does not say: in memory. */
export const defaultWorkDir = "/run/reimage";

/** The text of `--help` for the shared options. */
export const sharedUsage = `  --config FILE      the configuration (default ${defaultConfigPath})
  --set key=value    overrides one key; may be repeated (docs/configuration.md lists the keys)
  --work DIR         where the image and the retained files are kept (default ${defaultWorkDir})`;

/** The options as given. */
export interface RunOptions {
  readonly config: Config;
  readonly workDir: string;
  readonly yes: boolean;
  readonly json: boolean;
}

/** @throws ReimageError `usage` for options that make no sense, `config` for a configuration that does not. */
export function parseRunOptions(args: readonly string[]): RunOptions {
  const { values } = parse(args);
  if (process.geteuid?.() !== 0)
    throw new ReimageError("usage", "reimage reads and writes disks and needs root", { hint: "use sudo" });
  const { config: configPath = defaultConfigPath, set = [], work = defaultWorkDir, yes = false, json = false } = values;
  if (!existsSync(configPath) && values.config !== undefined) {
    throw new ReimageError("config", `the configuration ${configPath} is not there`, { hint: "check --config" });
  }
  const text = existsSync(configPath) ? readFileSync(configPath, "utf8") : null;
  // Without --config this is the configuration of the initramfs, which the kernel command line overrides there too.
  const kernel = values.config === undefined ? parseKernelCommandLine(readFileSync("/proc/cmdline", "utf8")) : [];
  const overrides = [...kernel, ...set.map(parseSetOption)];
  return { config: resolveConfig(text, configPath, overrides), workDir: work, yes, json };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        config: { type: "string" },
        set: { type: "string", multiple: true },
        work: { type: "string" },
        yes: { type: "boolean" },
        json: { type: "boolean" },
      },
    });
  } catch (cause) {
    throw new ReimageError("usage", cause instanceof Error ? cause.message : String(cause), { hint: "see --help" });
  }
}
