/**
 * Boot configurations and the files of pxelinux.cfg: files of the operator become configurations, so that they can be
 * deployed by name; configurations without a file get one, in a directory of their own.
 */
import { readdirSync } from "node:fs";
import { chmod, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type BootConfiguration, bootConfigurationSchema, REINSTALL } from "../protocol/boot.ts";
import type { Store } from "./database/store.ts";
import { ASK_FIRST, renderBoot } from "./decisions/render-boot.ts";
import { SERVE } from "./operations/actor.ts";
import { listConfigurations, putConfiguration } from "./operations/boot.ts";
import type { ConfigurationFile } from "./pxelinux/configurations.ts";
import { makePublicDirectory } from "./pxelinux/whole-files.ts";

/** The directory, below that of the configurations, whose files are ours. */
export const GENERATED_DIR = "from-reimage";
const TEMPORARY = ".new";

/** The name of the file for a machine that a reinstallation leads to the configuration. */
export function askingName(configuration: string): string {
  return `${configuration}+asks`;
}

/** The files of the operator whose name means one of them. */
export function ownFiles(files: readonly ConfigurationFile[]): ConfigurationFile[] {
  const own = files.filter(({ bootloader }) => bootloader !== GENERATED_DIR);
  return own.filter(({ name }) => own.filter((other) => other.name === name).length === 1);
}

/**
 * Takes over what the operator's files say. A configuration that was defined in another way stays, as `local` always is:
 * then the file is what PXELINUX gets of it.
 */
export async function importFiles(store: Store, files: readonly ConfigurationFile[]): Promise<void> {
  const stored = new Map((await listConfigurations(store)).map((each) => [each.name, each]));
  for (const { name, content } of ownFiles(files)) {
    const before = stored.get(name);
    const text: BootConfiguration = { name, kind: "text", bootloader: "pxelinux", content: content.toString("utf8") };
    const isOfFile = before === undefined || (before.kind === "text" && before.bootloader === "pxelinux");
    const isSame = before?.kind === "text" && before.content === text.content;
    if (!isOfFile || isSame || !bootConfigurationSchema.safeParse(text).success) continue;
    await putConfiguration(store, SERVE, text);
  }
}

/**
 * Writes a file for every configuration that has none of the operator's, each whole, and removes those that are no longer
 * wanted. What PXELINUX cannot be told is left out, and told to `onTrouble`.
 */
export async function generateFiles(
  store: Pick<Store, "db">,
  configurationsDir: string,
  files: readonly ConfigurationFile[],
  onTrouble: (error: unknown) => void,
): Promise<void> {
  const directory = join(configurationsDir, GENERATED_DIR);
  const taken = new Set(files.filter(({ bootloader }) => bootloader !== GENERATED_DIR).map(({ name }) => name));
  const wanted = new Map<string, string>();
  for (const configuration of await listConfigurations(store)) {
    const { name, kind } = configuration;
    if (taken.has(name) || (kind === "text" && configuration.bootloader !== "pxelinux")) continue;
    try {
      wanted.set(name, renderBoot(configuration, "pxelinux"));
      if (name === REINSTALL && kind === "linux" && !taken.has(askingName(name))) {
        wanted.set(askingName(name), renderBoot(configuration, "pxelinux", ASK_FIRST));
      }
    } catch (error) {
      onTrouble(error);
    }
  }
  await makePublicDirectory(directory);
  for (const [name, content] of wanted) await writeWhole(directory, name, content);
  for (const name of readdirSync(directory)) if (!wanted.has(name)) await rm(join(directory, name), { force: true });
}

async function writeWhole(directory: string, name: string, content: string): Promise<void> {
  const path = join(directory, name);
  if ((await readFile(path, "utf8").catch(() => null)) === content) return;
  const temporary = join(directory, TEMPORARY);
  await writeFile(temporary, content);
  await chmod(temporary, 0o644); // for a TFTP server that runs as somebody else
  await rename(temporary, path);
}
