/** The options of `reimage pack`, checked as far as they can be without looking at a file. Pure. */
import { parseArgs } from "node:util";
import { parseSize } from "../config/size.ts";
import { ReimageError } from "../errors.ts";
import { levels, type PackedFormat } from "../pack/compressor.ts";
import type { KeygenRequest } from "../pack/keys.ts";
import type { PackRequest } from "../pack/pack.ts";

/** What the command line asks for. Key files have not been read yet. */
export type PackOptions =
  | { readonly kind: "keygen"; readonly request: KeygenRequest }
  | {
      readonly kind: "pack";
      readonly request: Omit<PackRequest, "signing" | "startProgress">;
      readonly signing: SigningOptions | null;
      readonly json: boolean;
    };

/** Which key signs. */
export interface SigningOptions {
  readonly secretKeyPath: string;
  readonly passwordPath: string | null;
  readonly trustedComment: string | null;
}

/** The options by name, for `--help` and docs/packing.md to be held to. */
export const packOptions = {
  output: { type: "string" },
  compress: { type: "string" },
  level: { type: "string" },
  "image-id": { type: "string" },
  "image-version": { type: "string" },
  "sector-size": { type: "string" },
  "least-disk": { type: "string" },
  "least-ram": { type: "string" },
  vendor: { type: "string", multiple: true },
  product: { type: "string", multiple: true },
  board: { type: "string", multiple: true },
  unmapped: { type: "string" },
  "secret-key": { type: "string" },
  "public-key": { type: "string" },
  "password-file": { type: "string" },
  "trusted-comment": { type: "string" },
  keygen: { type: "boolean" },
  json: { type: "boolean" },
  force: { type: "boolean" },
} as const;

/** @throws ReimageError `usage` */
export function parsePackOptions(args: readonly string[]): PackOptions {
  const { values, positionals } = parse(args);
  return values.keygen === true ? parseKeygen(values, positionals) : parsePack(values, positionals);
}

type Values = ReturnType<typeof parse>["values"];

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: packOptions, allowPositionals: true });
  } catch (cause) {
    throw refuse(cause instanceof Error ? cause.message : String(cause));
  }
}

function parseKeygen(values: Values, positionals: readonly string[]): PackOptions {
  const allowed = ["keygen", "secret-key", "public-key", "password-file", "force"];
  const other = Object.keys(values).find((name) => !allowed.includes(name));
  if (other !== undefined) throw refuse(`--${other} has nothing to do with --keygen`);
  if (positionals.length > 0) throw refuse(`--keygen takes no image, and ${positionals[0]} was given`);
  const { "secret-key": secretKeyPath, "public-key": publicKeyPath, "password-file": passwordPath = null } = values;
  if (secretKeyPath === undefined || publicKeyPath === undefined) {
    throw refuse("--keygen needs --secret-key FILE and --public-key FILE, where the keys go");
  }
  return { kind: "keygen", request: { secretKeyPath, publicKeyPath, passwordPath, force: values.force === true } };
}

function parsePack(values: Values, positionals: readonly string[]): PackOptions {
  const [imagePath, ...others] = positionals;
  if (imagePath === undefined) throw refuse("pack needs the image that is to be packed");
  if (others.length > 0) throw refuse(`pack takes one image, and ${others.length + 1} were given`);
  if (values["public-key"] !== undefined) throw refuse("--public-key belongs to --keygen");
  const { "secret-key": secretKeyPath = null, "image-version": version } = values;
  if (secretKeyPath === null) {
    const idle = (["password-file", "trusted-comment"] as const).find((name) => values[name] !== undefined);
    if (idle !== undefined) throw refuse(`--${idle} is for signing, which needs --secret-key`);
  } else if (version === undefined) {
    throw new ReimageError("usage", "a signed image needs --image-version", {
      hint: "count it up with every release: machines refuse a signed image that is older than what they have",
    });
  }
  const compression = parseCompression(values);
  if (compression === null && values.output !== undefined) {
    throw refuse("--compress keep leaves the image where it is, so there is no --output");
  }
  return {
    kind: "pack",
    json: values.json === true,
    signing:
      secretKeyPath === null
        ? null
        : {
            secretKeyPath,
            passwordPath: values["password-file"] ?? null,
            trustedComment: values["trusted-comment"] ?? null,
          },
    request: {
      imagePath,
      outputPath: values.output ?? null,
      compression,
      imageId: requireText("image-id", values["image-id"]),
      version: parseWhole("image-version", version ?? "0", 0, Number.MAX_SAFE_INTEGER),
      sectorSizeBytes: parseSectorSize(values["sector-size"]),
      leastDiskBytes: parseBytes("least-disk", values["least-disk"]),
      leastRamBytes: parseBytes("least-ram", values["least-ram"]),
      hardware: {
        ...requireTexts("vendor", "vendors", values.vendor),
        ...requireTexts("product", "products", values.product),
        ...requireTexts("board", "boards", values.board),
      },
      unmapped: parseUnmapped(values.unmapped ?? "zero"),
      force: values.force === true,
    },
  };
}

function parseCompression({ compress = "zst", level }: Values): { format: PackedFormat; level: number } | null {
  if (compress === "keep") {
    if (level !== undefined) throw refuse("--compress keep compresses nothing, so there is no --level");
    return null;
  }
  if (compress !== "zst" && compress !== "bz2") throw refuse(`--compress must be zst, bz2 or keep, not ${compress}`);
  const { least, most, usual } = levels[compress];
  return { format: compress, level: parseWhole("level", level ?? String(usual), least, most) };
}

function parseWhole(option: string, value: string, least: number, most: number): number {
  const number = /^[0-9]{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw refuse(`--${option} must be a whole number from ${least} to ${most}, not ${value}`);
}

function parseSectorSize(value: string | undefined): 512 | 4096 | null {
  if (value === undefined) return null;
  if (value === "512") return 512;
  if (value === "4096") return 4096;
  throw refuse(`--sector-size must be 512 or 4096, not ${value}`);
}

function parseBytes(option: string, value: string | undefined): number | null {
  if (value === undefined) return null;
  const sizeBytes = parseSize(value);
  if (sizeBytes === null) throw refuse(`--${option} must be a size such as 8 GB or 512 MiB, not ${value}`);
  return sizeBytes;
}

function parseUnmapped(value: string): "zero" | "any" {
  if (value !== "zero" && value !== "any") throw refuse(`--unmapped must be zero or any, not ${value}`);
  return value;
}

/** What a manifest takes for a text. */
function requireText(option: string, value: string | undefined): string | null {
  if (value === undefined) return null;
  if (!/^[^\0-\x1f\x7f]{1,256}$/.test(value)) throw refuse(`--${option} must be 1 to 256 characters on one line`);
  return value;
}

function requireTexts<K extends string>(option: string, key: K, values: string[] | undefined): { [P in K]?: string[] } {
  for (const value of values ?? []) requireText(option, value);
  return values === undefined ? {} : ({ [key]: values } as { [P in K]?: string[] });
}

function refuse(message: string): ReimageError {
  return new ReimageError("usage", message, { hint: "see reimage pack --help" });
}
