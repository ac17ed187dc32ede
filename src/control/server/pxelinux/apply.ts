/** From what machines are to boot to the copies and links that make it so. Reads the links, changes nothing. */
import { basename, join, relative } from "node:path";
import { ReimageError } from "../../../errors.ts";
import { parseMac } from "../../protocol/identity.ts";
import { type ConfigurationFile, requireConfiguration } from "./configurations.ts";
import { type LinkChange, type PxelinuxPaths, requireLinkOrNothing } from "./links.ts";
import { isBootId, linkName, type OneShot, oneShotName, parseOneShotName } from "./names.ts";

/** What one machine is to boot. */
export interface PxeDeployment {
  /** All network cards of the machine, in any spelling. The first one has the link to the file, the others lead to it. */
  readonly macs: readonly string[];
  /** The name of a configuration file; null: none, the links are removed. */
  readonly configuration: string | null;
  /**
   * null: until something else is deployed. Else it is for one boot, and this is its name: at most 64 letters, digits and
   * `. _ -`, another one for every boot (such as the id of the deployment and how many boots are left).
   */
  readonly bootId: string | null;
}

/** A copy that has to be there before the links are switched. */
export interface PlannedCopy {
  readonly boot: OneShot;
  readonly source: ConfigurationFile;
}

export interface ApplyPlan {
  readonly copies: readonly PlannedCopy[];
  /** In the order in which they are made; what is so already is not among them. */
  readonly changes: readonly LinkChange[];
  /** The copies that are then no longer linked. */
  readonly obsolete: readonly string[];
}

/**
 * Judges all deployments before anything changes.
 * @throws ReimageError `usage` for a bad MAC or boot id, no MAC, or one that is named twice; `config` for a configuration that
 * is not there, or where something else than a link is in the place of one.
 */
export async function planDeployments(
  deployments: readonly PxeDeployment[],
  paths: PxelinuxPaths,
  files: readonly ConfigurationFile[],
): Promise<ApplyPlan> {
  const copies: PlannedCopy[] = [];
  const wanted: { mac: string; to: string | null }[] = [];
  for (const deployment of deployments) {
    const [first, ...others] = deployment.macs.map(parseMac);
    if (first === undefined) throw new ReimageError("usage", "a machine without a MAC address cannot be given a link");
    const target = planTarget(deployment, first, paths, files);
    if (target.copy !== null) copies.push(target.copy);
    const ofFirst = { mac: first, to: target.text };
    const ofOthers = others.map((mac) => ({ mac, to: target.text === null ? null : linkName(first) }));
    // No link is to lead to one that is gone, not even for a moment.
    wanted.push(...(target.text === null ? [...ofOthers, ofFirst] : [ofFirst, ...ofOthers]));
  }
  refuseTwice(wanted.map(({ mac }) => mac));
  const changes: LinkChange[] = [];
  for (const { mac, to } of wanted) {
    const path = join(paths.links, linkName(mac));
    const from = await requireLinkOrNothing(path);
    if (from !== to) changes.push({ mac, path, from, to });
  }
  const kept = new Set(copies.map(({ boot }) => oneShotName(boot)));
  const left = changes.map(({ from }) => copyOf(paths, from)).filter((name) => name !== null);
  return { copies, changes, obsolete: left.filter((name) => !kept.has(name)) };
}

function planTarget(
  { configuration, bootId }: PxeDeployment,
  mac: string,
  paths: PxelinuxPaths,
  files: readonly ConfigurationFile[],
): { readonly text: string | null; readonly copy: PlannedCopy | null } {
  if (configuration === null) return { text: null, copy: null };
  const source = requireConfiguration(files, configuration);
  // Relative, so that it means the same to a server that is confined to the root.
  if (bootId === null) return { text: relative(paths.links, source.path), copy: null };
  if (!isBootId(bootId)) throw new ReimageError("usage", `${JSON.stringify(bootId)} cannot name a boot of ${mac}`);
  const boot = { mac, bootId, configuration };
  return { text: relative(paths.links, join(paths.copies, oneShotName(boot))), copy: { boot, source } };
}

/** The name of the one-shot copy that a link of ours leads to; null for any other link. */
export function copyOf(paths: PxelinuxPaths, linkText: string | null): string | null {
  if (linkText === null) return null;
  const name = basename(linkText);
  const isOurs = parseOneShotName(name) !== null && linkText === relative(paths.links, join(paths.copies, name));
  return isOurs ? name : null;
}

function refuseTwice(macs: readonly string[]): void {
  const seen = new Set<string>();
  for (const mac of macs) {
    if (seen.has(mac)) throw new ReimageError("usage", `${mac} is named twice: it can boot only one configuration`);
    seen.add(mac);
  }
}
