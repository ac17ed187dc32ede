/**
 * The network of the initramfs, brought up where something needs it: an image or a manifest behind a URL, the control
 * endpoint, or an operator who wrote `ip=`. Only an image or a manifest is waited for; nothing else of a run depends on it,
 * and it is looked for until the run ends.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parseSource } from "../config/names.ts";
import type { Config } from "../config/schema.ts";
import { describeError, ReimageError } from "../errors.ts";
import { type NetworkArguments, parseNetworkArguments } from "./network-arguments.ts";
import { bringUp, type Link } from "./network-links.ts";

/** How much a run wants the network. */
export type NetworkNeed = "required" | "wanted" | "none";

/** Whether the run can do without (pure). A command line that cannot be understood is looked at where it is used. */
export function networkNeed(config: Pick<Config, "image" | "control">, commandLine: string): NetworkNeed {
  const { source, manifest } = config.image;
  const isUrl = (text: string | null) => text !== null && parseSource(text)?.kind === "url";
  if (isUrl(source) || isUrl(manifest)) return "required";
  const isAsked = /(^|\s)(ip=|vlan=|rd\.neednet=1(\s|$))/.test(commandLine);
  return config.control !== null || isAsked ? "wanted" : "none";
}

/** What `startNetwork` tells, as it happens. */
export interface NetworkListener {
  /** For the person in front of the machine. */
  onStep(message: string): void;
  onWarning(message: string): void;
  /** For the log. */
  onDetail(message: string): void;
}

/** The network of a run. Disposing stops the looking for one; what is up stays up, for a technician too. */
export interface Network extends AsyncDisposable {
  /**
   * Resolves when the network is up, or at once where the run can do without it.
   * @throws ReimageError `config` for a wrong `ip=`; `network` where there is none after `waitSeconds`.
   */
  ready(): Promise<void>;
  /**
   * Resolves to true once the network is up, be it late: a cable may be plugged in after `waitSeconds`. To false where there
   * will be none: it is not wanted, its arguments cannot be understood, or this was disposed of first. Never rejects. It may
   * take as long as the run does: what a stage waits for must not wait for it.
   */
  up(): Promise<boolean>;
}

/** How long a further look takes: a cable, and then a DHCP server that answers at once. */
const LOOK_SECONDS = 10;
/** The pauses before further looks; the last one again and again. */
const PAUSES_SECONDS: readonly number[] = [1, 2, 4, 8, 15];

/** Begins to bring the network up, as far as `need` says, and returns at once. */
export function startNetwork(
  need: NetworkNeed,
  commandLine: string,
  waitSeconds: number,
  listener: NetworkListener,
): Network {
  if (need === "none") return { ready: async () => {}, up: async () => false, [Symbol.asyncDispose]: async () => {} };
  const stop = new AbortController();
  const look = async (seconds: number, onStart = () => {}): Promise<void> => {
    const wanted: NetworkArguments = parseNetworkArguments(commandLine);
    onStart();
    const links = await bringUp(wanted, { waitSeconds: seconds, signal: stop.signal, onDetail: listener.onDetail });
    const tell = need === "required" ? listener.onStep : listener.onDetail;
    for (const link of links) tell(`network: ${describeLink(link)}`);
  };
  const announce = () => (need === "required" ? listener.onStep("bringing the network up") : undefined);
  const first = look(waitSeconds, announce).then(
    () => null,
    (error: unknown) => ({ error }),
  );
  const ended = first.then(async (failure) => {
    if (failure === null || stop.signal.aborted) return failure === null;
    if (need === "wanted") {
      listener.onWarning(`the run goes on without the network: ${describeError(failure.error)}`);
    }
    if (failure.error instanceof ReimageError && failure.error.code === "config") return false; // as wrong at any later time
    return await keepLooking(() => look(Math.min(waitSeconds, LOOK_SECONDS)), PAUSES_SECONDS, stop.signal);
  });
  return {
    async ready() {
      const failure = need === "required" ? await first : null;
      if (failure !== null) throw failure.error;
    },
    up: () => ended,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await ended;
    },
  };
}

/**
 * Looks again and again, in silence, with a pause before each look; the last of the pauses is repeated.
 * @returns true after a look that did not fail, false once `signal` is aborted.
 */
export async function keepLooking(
  look: () => Promise<void>,
  pausesSeconds: readonly number[],
  signal: AbortSignal,
): Promise<boolean> {
  for (let i = 0; ; i += 1) {
    try {
      await sleep((pausesSeconds[i] ?? pausesSeconds.at(-1) ?? 0) * 1000, undefined, { signal });
      await look();
      return true;
    } catch {
      if (signal.aborted) return false;
    }
  }
}

/** `eth0 (52:54:00:12:34:56, virtio_net) has 10.0.2.15/24 by DHCP from 10.0.2.2, gateway 10.0.2.2` (pure). */
export function describeLink(link: Link): string {
  const gateway = link.gateway === null ? "no gateway" : `gateway ${link.gateway}`;
  const servers = link.nameservers.length === 0 ? "no name server" : `name server ${link.nameservers.join(", ")}`;
  return `${link.description} has ${link.address}/${link.prefixLength} by ${link.by}, ${gateway}, ${servers}`;
}
