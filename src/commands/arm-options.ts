/** The options of `reimage arm`. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { defaultStateDir } from "../arming/kept-note.ts";
import { type Override, resolveConfig } from "../config/resolve.ts";
import type { Config } from "../config/schema.ts";
import { parseSetOption } from "../config/set-option.ts";
import { ReimageError } from "../errors.ts";
import type { PlaceKind } from "../lifeboat/places/place.ts";
import { type OneShotMethod, oneShotMethods } from "../one-shot/request.ts";
import { defaultConfigPath } from "./run-options.ts";

export interface ArmOptions {
  readonly config: Config;
  /** Null: everything is set by `--set`. */
  readonly configPath: string | null;
  readonly overrides: readonly Override[];
  readonly kernelPath: string;
  readonly initramfsPath: string;
  readonly loaderPath: string | null;
  /** Added to the kernel command line. */
  readonly append: string | null;
  readonly place: PlaceKind | null;
  readonly attempts: number;
  readonly acceptsRisk: boolean;
  readonly isRamWanted: boolean;
  readonly method: OneShotMethod | null;
  readonly stateDir: string;
  readonly json: boolean;
}

export const armOptionsUsage = `  --config FILE      the configuration (default ${defaultConfigPath})
  --set key=value    overrides one key; may be repeated (docs/configuration.md lists the keys)
  --kernel FILE      vmlinuz (default: beside this program)
  --initramfs FILE   initramfs.img (default: beside this program)
  --loader FILE      UEFI: a boot loader that reads systemd-boot's configuration, for Secure Boot a signed one
  --append TEXT      added to the kernel command line of the lifeboat
  --place KIND       gap, swap or file: where the lifeboat goes (default: the first of them that fits)
  --attempts N       how often one step may be tried again before the run is given up (default 20)
  --accept-power-cut-risk
                     where no lifeboat fits: keep everything in memory; a power cut while the disk is written is then the end
  --ram              do without a lifeboat even where one fits (needs --accept-power-cut-risk)
  --method NAME      how the machine boots once without a lifeboat: ${oneShotMethods.join(", ")} (default: the first that works)
  --state DIR        where the old system keeps how it was armed (default ${defaultStateDir})
  --json             print the result as JSON`;

/** @throws ReimageError `usage` for options that make no sense, `config` for a configuration that does not. */
export function parseArmOptions(args: readonly string[]): ArmOptions {
  const values = parse(args);
  const { config: configPath = defaultConfigPath, set = [], place = null, method = null } = values;
  if (!existsSync(configPath) && values.config !== undefined) {
    throw new ReimageError("config", `the configuration ${configPath} is not there`, { hint: "check --config" });
  }
  const text = existsSync(configPath) ? readFileSync(configPath, "utf8") : null;
  const overrides = set.map(parseSetOption);
  const folder = dirname(process.execPath);
  const acceptsRisk = values["accept-power-cut-risk"] ?? false;
  const isRamWanted = values.ram ?? false;
  if (isRamWanted && !acceptsRisk) {
    throw new ReimageError("usage", "--ram does without protection against power cuts", {
      hint: "say so with --accept-power-cut-risk, or leave out --ram",
    });
  }
  return {
    config: resolveConfig(text, configPath, overrides),
    configPath: text === null ? null : configPath,
    overrides,
    kernelPath: requireFile(values.kernel ?? join(folder, "vmlinuz"), "--kernel"),
    initramfsPath: requireFile(values.initramfs ?? join(folder, "initramfs.img"), "--initramfs"),
    loaderPath: values.loader === undefined ? null : requireFile(values.loader, "--loader"),
    append: values.append ?? null,
    place: oneOf(place, ["gap", "swap", "file"] as const, "--place"),
    attempts: parseAttempts(values.attempts),
    acceptsRisk,
    isRamWanted,
    method: oneOf(method, oneShotMethods, "--method"),
    stateDir: values.state ?? defaultStateDir,
    json: values.json ?? false,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        config: { type: "string" },
        set: { type: "string", multiple: true },
        kernel: { type: "string" },
        initramfs: { type: "string" },
        loader: { type: "string" },
        append: { type: "string" },
        place: { type: "string" },
        attempts: { type: "string" },
        "accept-power-cut-risk": { type: "boolean" },
        ram: { type: "boolean" },
        method: { type: "string" },
        state: { type: "string" },
        json: { type: "boolean" },
      },
    }).values;
  } catch (cause) {
    throw new ReimageError("usage", cause instanceof Error ? cause.message : String(cause), { hint: "see --help" });
  }
}

function requireFile(path: string, option: string): string {
  if (existsSync(path)) return path;
  throw new ReimageError("usage", `${path} is not there`, { hint: `name it with ${option}` });
}

function oneOf<const T extends string>(value: string | null, known: readonly T[], option: string): T | null {
  if (value === null) return null;
  const found = known.find((word) => word === value);
  if (found !== undefined) return found;
  throw new ReimageError("usage", `${option} ${value}: expected one of ${known.join(", ")}`, { hint: "see --help" });
}

function parseAttempts(text = "20"): number {
  const attempts = Number(text);
  if (Number.isInteger(attempts) && attempts >= 1 && attempts <= 1000) return attempts;
  throw new ReimageError("usage", `--attempts ${text}: expected a whole number from 1 to 1000`, { hint: "see --help" });
}
