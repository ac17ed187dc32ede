/** The options that all commands of `reimage fleet` have, and the connection that they describe. */
import { readFileSync, statSync } from "node:fs";
import { parseArgs } from "node:util";
import { nearest } from "../../config/nearest.ts";
import { createFleetClient, type FleetClient } from "../../control/fleet-client/client.ts";
import { ReimageError } from "../../errors.ts";
import { readCertificates } from "../../http/connection.ts";
import { version } from "../../version.ts";
import { type OptionTypes, textOf, type Values, wrongUsage } from "./subcommand.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export const DEFAULT_SERVER = "http://127.0.0.1:7050";

export const commonOptions = {
  server: { type: "string" },
  "token-file": { type: "string" },
  ca: { type: "string" },
  json: { type: "boolean" },
  yes: { type: "boolean" },
} as const;

/** The command, its words and its options (pure). @throws ReimageError `usage` */
export function parseFleet(
  args: readonly string[],
  commands: Readonly<Record<string, { readonly options: OptionTypes }>>,
): { readonly name: string; readonly words: readonly string[]; readonly values: Values } {
  const loose = parseArgs({ args: [...args], options: commonOptions, allowPositionals: true, strict: false });
  const name = loose.positionals[0];
  if (name === undefined) throw wrongUsage("which command?");
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    throw wrongUsage(`${name} is no command of reimage fleet; did you mean ${nearest(name, Object.keys(commands))}?`);
  }
  try {
    const options = { ...commonOptions, ...command.options };
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    return { name, words: positionals.slice(1), values };
  } catch (cause) {
    throw wrongUsage(cause instanceof Error ? cause.message : String(cause));
  }
}

/** @param warn is told what is not well. @throws ReimageError `usage`, `config` */
export async function openClient(
  values: Values,
  environment: Environment,
  warn: (text: string) => void,
): Promise<FleetClient> {
  const server = textOf(values, "server") ?? given(environment.REIMAGE_SERVER) ?? DEFAULT_SERVER;
  const url = requireServer(server);
  const tokenFile = textOf(values, "token-file") ?? given(environment.REIMAGE_TOKEN_FILE);
  if (tokenFile === undefined) {
    throw new ReimageError("usage", "which token? --token-file and REIMAGE_TOKEN_FILE are not set", {
      hint: "name the file with your token; the first one of an endpoint is admin.token in its --data directory",
    });
  }
  const token = readToken(tokenFile, warn);
  const caFile = textOf(values, "ca") ?? given(environment.REIMAGE_CA);
  const ca = caFile === undefined ? null : await readCertificates(caFile, "--ca");
  if (url.protocol === "http:" && !/^(localhost|127\.[0-9.]+|\[::1\])$/.test(url.hostname)) {
    warn(`${server} has no TLS: your token can be read on the way`);
  }
  return createFleetClient({ server, token, tokenFile, ca, version });
}

const given = (text: string | undefined) => (text === undefined || text === "" ? undefined : text);

function requireServer(server: string): URL {
  const url = URL.canParse(server) ? new URL(server) : null;
  const isPlain = url !== null && url.pathname === "/" && url.search === "" && url.hash === "" && url.username === "";
  if (url !== null && isPlain && /^https?:$/.test(url.protocol)) return url;
  // Without what it says, in case there is a password in it.
  throw wrongUsage("--server (REIMAGE_SERVER) is no address such as https://reimage.example:7050");
}

function readToken(path: string, warn: (text: string) => void): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
    if ((statSync(path).mode & 0o007) !== 0) warn(`everybody on this host can read your token: chmod 600 ${path}`);
  } catch (cause) {
    throw new ReimageError("config", `the token file ${path} cannot be read`, {
      cause,
      hint: "check --token-file (REIMAGE_TOKEN_FILE)",
    });
  }
  if (/^[!-~]{1,256}$/.test(text)) return text;
  throw new ReimageError("config", `${path} holds no token: expected one line`, { hint: "check --token-file" });
}
