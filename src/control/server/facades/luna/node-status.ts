/** What only this facade knows of a machine, in its `facade` column: the status words of its node, and who wants to be it. */
import type { Actor, Store, WriteScope } from "../../database/store.ts";
import { bootLocal, setDeployment } from "../../operations/deployment.ts";
import { requireMachine } from "../../operations/reinstalls.ts";
import { isoTime } from "../../operations/time.ts";

/** A status word, and when it came. */
export interface NodeStatus {
  readonly step: string;
  readonly time: string;
}

interface LunaFacts {
  readonly status?: NodeStatus;
  /** The newest last. */
  readonly history?: readonly NodeStatus[];
  /** A network card that says it is this node's. */
  readonly claim?: { readonly mac: string; readonly time: string; readonly address: string | null };
}

const MOST_HISTORY = 30;
const SUCCESS = "install.success";

/**
 * Keeps a status word. `install.success` is the end of an installation: the next network boot leads to the disk. It is the
 * word of anybody in the address range, so it does not take the mark of a reinstallation away: a verified report does.
 * @throws ReimageError `not-found`
 */
export async function keepStatus(store: Store, actor: Actor, machineId: string, step: string): Promise<void> {
  await store.write(actor, async (scope) => {
    const { luna, keep } = await openFacts(scope, machineId);
    const status = { step, time: isoTime(scope.nowMs) };
    const isNews = luna.status?.step !== step;
    await keep({ ...luna, status, history: [...(luna.history ?? []), status].slice(-MOST_HISTORY) });
    if (isNews && /^install\.(success|failed)/.test(step)) await scope.audit(`luna.${step}`, `machine:${machineId}`);
    if (step === SUCCESS) await setDeployment(scope, machineId, bootLocal);
    scope.changed(machineId);
  });
}

/** Somebody says that a card is this node's. Nothing follows from it until an operator gives the machine that MAC. */
export async function keepClaim(store: Store, actor: Actor, machineId: string, mac: string): Promise<void> {
  await store.write(actor, async (scope) => {
    const { luna, keep } = await openFacts(scope, machineId);
    if (luna.claim?.mac === mac) return;
    await keep({ ...luna, claim: { mac, time: isoTime(scope.nowMs), address: actor.address } });
    await scope.audit("luna.claimed", `machine:${machineId}`, { mac });
    scope.changed(machineId);
  });
}

async function openFacts(scope: WriteScope, machineId: string) {
  const machine = await requireMachine(scope, machineId);
  const facade = JSON.parse(machine.facade ?? "{}") as { readonly luna?: LunaFacts };
  return {
    luna: facade.luna ?? {},
    keep: async (luna: LunaFacts) => {
      const text = JSON.stringify({ ...facade, luna });
      await scope.db.updateTable("machines").set({ facade: text }).where("id", "=", machineId).execute();
    },
  };
}
