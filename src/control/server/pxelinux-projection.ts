/**
 * Keeps a pxelinux.cfg directory as the projection of the deployments. One process on a database keeps it; the others leave
 * it alone, and take it over when that one ends. Who keeps it learns from the feed what the others have changed.
 */
import { asReimageError, ReimageError } from "../../errors.ts";
import { LOCAL } from "../protocol/boot.ts";
import type { Store } from "./database/store.ts";
import { SERVE } from "./operations/actor.ts";
import { type ProjectedBoot, projectBoots, takeProjectedBoot } from "./operations/projected-boot.ts";
import type { PxeDeployment } from "./pxelinux/apply.ts";
import type { ConfigurationFile } from "./pxelinux/configurations.ts";
import { openPxelinuxDirectory, type PxelinuxDirectory, type PxelinuxOptions } from "./pxelinux/directory.ts";
import { askingName, generateFiles, importFiles, ownFiles } from "./pxelinux-files.ts";

/** `root` of the TFTP server and the directory of configurations in it; the times are for tests. */
export type PxelinuxSettings = Omit<PxelinuxOptions, "onRead" | "onTrouble">;

export interface PxelinuxProjection extends AsyncDisposable {
  /**
   * Resolves when the links of these machines are what the database says; at once where another process keeps them.
   * @throws ReimageError what has kept a link from being switched.
   */
  settle(machineIds: readonly string[]): Promise<void>;
  /** @throws ReimageError `conflict` naming a file of the operator in the place of a link: that is never overwritten. */
  requireLinks(macs: readonly string[]): Promise<void>;
  /** Looks at the operator's files now, and not only once in a while. */
  readFiles(): Promise<void>;
  /** The operator's file of that name; null where there is none. */
  contentOf(configuration: string): Promise<string | null>;
}

const TAKE_OVER_MS = 5000;
const LOOK_AGAIN_MS = 60_000;
/** Machines that report progress change many times a second: they are looked at together. */
const GATHER_MS = 50;

/** @throws ReimageError `config` or `output` where the directories cannot be used. */
export async function openPxelinuxProjection(
  store: Store,
  settings: PxelinuxSettings,
  log: (line: string, level?: "info" | "error") => void,
): Promise<PxelinuxProjection> {
  let directory: PxelinuxDirectory | null = null;
  let isClosing = false;
  /** The network cards that have links of ours, by machine, and what was projected for it last. */
  const known = new Map<string, { readonly macs: readonly string[]; readonly text: string }>();
  const failures = new Map<string, ReimageError>();
  const complaints = new Map<string, string>();

  /** Once, until it is another one. */
  function complain(about: string, thrown: unknown, level: "info" | "error" = "error"): void {
    const { message, hint } = asReimageError(thrown);
    const text = `pxelinux.cfg: ${message}${hint === undefined ? "" : ` (${hint})`}`;
    if (complaints.get(about) === text) return;
    complaints.set(about, text);
    log(text, level);
  }

  async function open(): Promise<void> {
    const onRead: PxelinuxOptions["onRead"] = async ({ mac, bootId }) => {
      const machineId = await takeProjectedBoot(store, SERVE, mac, bootId);
      if (machineId !== null) await settle([machineId]);
      else await directory?.apply([{ macs: [mac], configuration: null, bootId: null }]);
    };
    const onTrouble = (error: unknown) => complain("watch", error);
    try {
      directory = await openPxelinuxDirectory({ ...settings, onRead, onTrouble });
    } catch (error) {
      if (asReimageError(error).code === "state") return complain("lock", error, "info");
      throw error;
    }
    for (const warning of directory.warnings) log(`pxelinux.cfg: ${warning}`, "error");
    await sync(null);
  }

  // One look at a time; what changes meanwhile is looked at together, afterwards.
  let wanted: Set<string> | "all" | null = null;
  let running: Promise<ReimageError | null> | null = null;
  let isWaiting = false;
  /** Resolves with why nothing could be looked at, or null. */
  function look(ids: readonly string[] | null): Promise<ReimageError | null> {
    wanted = ids === null || wanted === "all" ? "all" : new Set([...(wanted ?? []), ...ids]);
    const before = running;
    if (before === null || !isWaiting) {
      isWaiting = true;
      running = (async () => {
        await before;
        await Bun.sleep(GATHER_MS);
        isWaiting = false;
        const now = wanted === "all" ? null : [...(wanted ?? [])];
        wanted = null;
        try {
          await sync(now);
          complaints.delete("sync");
          return null;
        } catch (error) {
          complain("sync", error);
          return asReimageError(error);
        }
      })();
    }
    return running as Promise<ReimageError | null>;
  }

  async function sync(ids: readonly string[] | null): Promise<void> {
    if (directory === null) return;
    if (ids === null) await syncFiles(directory);
    const projected = await projectBoots(store, ids);
    if (ids === null) {
      const there = new Set(projected.map(({ machineId }) => machineId));
      for (const id of known.keys()) if (!there.has(id)) projected.push({ machineId: id, macs: [], boot: null });
    }
    const changed = projected.filter((each) => ids === null || isChanged(each));
    if (changed.length === 0) return;
    let files = await directory.readConfigurations();
    if (changed.some(({ boot }) => boot !== null && !files.some(({ name }) => name === boot.configuration))) {
      await syncFiles(directory); // it may have been defined a moment ago
      files = await directory.readConfigurations();
    }
    const all = changed.map((each) => ({ each, deployments: asDeployments(each, files) }));
    const held = new Set(projected.flatMap(({ macs }) => macs));
    // A card that has moved to another machine is that machine's.
    const apply = async (deployments: readonly PxeDeployment[]) => {
      const kept = deployments.filter(({ macs, configuration }) => configuration !== null || !held.has(macs[0] ?? ""));
      if (kept.length > 0) await directory?.apply(kept);
    };
    try {
      await apply(all.flatMap(({ deployments }) => deployments));
      for (const { each } of all) settled(each);
    } catch {
      for (const { each, deployments } of all) await applyOne(each, deployments, apply);
    }
  }

  /** One machine that cannot be switched does not keep the others from it; it starts from its disk where that can be said. */
  async function applyOne(
    each: ProjectedBoot,
    deployments: readonly PxeDeployment[],
    apply: (deployments: readonly PxeDeployment[]) => Promise<void>,
  ): Promise<void> {
    try {
      await apply(deployments);
      settled(each);
    } catch (error) {
      known.set(each.machineId, { macs: each.macs, text: "" });
      failures.set(each.machineId, asReimageError(error));
      complain(each.machineId, error);
      const disk = deployments.map((one) => (one.configuration === null ? one : { ...one, ...toDisk }));
      await apply(disk).catch((again: unknown) => complain(`${each.machineId} local`, again));
    }
  }

  async function syncFiles(kept: PxelinuxDirectory): Promise<void> {
    const files = await kept.readConfigurations();
    await importFiles(store, files);
    const onTrouble = (error: unknown) => complain("generate", error);
    await generateFiles(store, settings.configurationsDir, files, onTrouble).catch(onTrouble);
  }

  function isChanged({ machineId, macs, boot }: ProjectedBoot): boolean {
    return known.get(machineId)?.text !== JSON.stringify({ macs, boot }) && (boot !== null || known.has(machineId));
  }

  function settled({ machineId, macs, boot }: ProjectedBoot): void {
    failures.delete(machineId);
    complaints.delete(machineId);
    if (boot === null && macs.length === 0) known.delete(machineId);
    else if (boot !== null) known.set(machineId, { macs, text: JSON.stringify({ macs, boot }) });
  }

  function asDeployments({ machineId, macs, boot }: ProjectedBoot, files: readonly ConfigurationFile[]) {
    const gone = (known.get(machineId)?.macs ?? []).filter((mac) => !macs.includes(mac));
    const deployments: PxeDeployment[] = gone.map((mac) => ({ macs: [mac], configuration: null, bootId: null }));
    if (boot === null || macs.length === 0) return deployments;
    const { configuration, isReinstall, bootId } = boot;
    const names = isReinstall ? [askingName(configuration), configuration] : [configuration];
    const found = names.find((name) => files.some((file) => file.name === name));
    if (found === undefined) complain(machineId, noFile(configuration, machineId));
    deployments.push({ macs, configuration: found ?? LOCAL, bootId });
    return deployments;
  }

  async function settle(machineIds: readonly string[]): Promise<void> {
    if (directory === null) return;
    const trouble = await look(machineIds);
    const failure = trouble ?? machineIds.map((id) => failures.get(id)).find((each) => each !== undefined);
    if (failure !== undefined && failure !== null) throw failure;
  }

  await open();
  const unsubscribe = store.feed.subscribe((ids) => void look(ids));
  let opening: Promise<void> | null = null;
  const takeOver = setInterval(() => {
    if (directory !== null || isClosing) return;
    opening ??= open()
      .catch((error: unknown) => complain("open", error))
      .finally(() => {
        opening = null;
      });
  }, TAKE_OVER_MS);
  const lookAgain = setInterval(() => void look(null), LOOK_AGAIN_MS);

  return {
    settle,
    async requireLinks(macs) {
      const entries = (await directory?.read()) ?? [];
      const file = entries.find(({ mac, boots }) => boots.kind === "file" && macs.includes(mac));
      if (file === undefined) return;
      throw new ReimageError("conflict", `${file.path} is not a symbolic link: somebody has put it there by hand`, {
        hint: "it is left alone; move it away and deploy again",
      });
    },
    async readFiles() {
      if (directory !== null) await syncFiles(directory);
    },
    async contentOf(configuration) {
      const files = ownFiles((await directory?.readConfigurations()) ?? []);
      return files.find(({ name }) => name === configuration)?.content.toString("utf8") ?? null;
    },
    async [Symbol.asyncDispose]() {
      isClosing = true;
      clearInterval(takeOver);
      clearInterval(lookAgain);
      unsubscribe();
      await opening;
      await directory?.[Symbol.asyncDispose]();
      directory = null;
      await running;
    },
  };
}

const toDisk = { configuration: LOCAL, bootId: null };

function noFile(configuration: string, machineId: string): ReimageError {
  return new ReimageError("config", `PXELINUX cannot be told ${configuration}: machine ${machineId} gets its disk`, {
    hint: `put a file ${configuration} into the directory of configurations`,
  });
}
