/**
 * The network of the initramfs, brought up where something needs it: an image or a manifest behind a URL, the control
 * endpoint, or an operator who wrote `ip=`. Only an image or a manifest is waited for; nothing else of a run depends on it.
 */
import { parseSource } from "../config/names.ts";
import type { Config } from "../config/schema.ts";
import { describeError } from "../errors.ts";
import { type NetworkArguments, parseNetworkArguments } from "./network-arguments.ts";
import { bringUp, type Link } from "./network-links.ts";

/** How much a run wants the network. */
export type NetworkNeed = "required" | "wanted" | "none";

/** Whether the run can do without (pure). A command line that cannot be understood is looked at where it is used. */
export function networkNeed(config: Pick<Config, "image" | "control">, commandLine: string): NetworkNeed {
  const { source, manifest } = config.image;
  const isUrl = (text: string | null) => text !== null && parseSource(text)?.kind === "url";
  if (isUrl(source) || isUrl(manifest)) return "required";
  return config.control !== null || /(^|\s)ip=/.test(commandLine) ? "wanted" : "none";
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
}

/** Begins to bring the network up, as far as `need` says, and returns at once. */
export function startNetwork(
  need: NetworkNeed,
  commandLine: string,
  waitSeconds: number,
  listener: NetworkListener,
): Network {
  if (need === "none") return { ready: async () => {}, [Symbol.asyncDispose]: async () => {} };
  const stop = new AbortController();
  const asked = async (): Promise<readonly Link[]> => {
    const wanted: NetworkArguments = parseNetworkArguments(commandLine);
    if (need === "required") listener.onStep("bringing the network up");
    return await bringUp(wanted, { waitSeconds, signal: stop.signal, onDetail: listener.onDetail });
  };
  const tell = need === "required" ? listener.onStep : listener.onDetail;
  const ended = asked().then(
    (links) => {
      for (const link of links) tell(`network: ${describeLink(link)}`);
      return null;
    },
    (error: unknown) => {
      if (need === "wanted" && !stop.signal.aborted) {
        listener.onWarning(`the run goes on without the network: ${describeError(error)}`);
      }
      return { error };
    },
  );
  return {
    async ready() {
      const failure = need === "required" ? await ended : null;
      if (failure !== null) throw failure.error;
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await ended;
    },
  };
}

/** `eth0 (52:54:00:12:34:56, virtio_net) has 10.0.2.15/24 by DHCP from 10.0.2.2, gateway 10.0.2.2` (pure). */
export function describeLink(link: Link): string {
  const gateway = link.gateway === null ? "no gateway" : `gateway ${link.gateway}`;
  const servers = link.nameservers.length === 0 ? "no name server" : `name server ${link.nameservers.join(", ")}`;
  return `${link.description} has ${link.address}/${link.prefixLength} by ${link.by}, ${gateway}, ${servers}`;
}
