/**
 * One boot of reimage from the running old OS, and then the old OS again if it does not come up: for runs in RAM mode and for
 * images from the network, which have no lifeboat. What each method does when that boot fails: `describeFallback`.
 */
import { ReimageError } from "../errors.ts";
import { efiVariables } from "../firmware/efi-variables.ts";
import { judgeBootNext, readBootNextFacts, setFirmwareBootNext } from "./boot-next.ts";
import { oneShotCommandLine } from "./command-line.ts";
import { judgeExtlinux, readExtlinuxFacts, setExtlinux } from "./extlinux.ts";
import { judgeGrub, readGrubFacts, setGrub } from "./grub.ts";
import { judgeKexec, readKexecFacts, setKexec } from "./kexec.ts";
import {
  type Judgement,
  type OneShotMethod,
  type OneShotRequest,
  type OneShotUndo,
  type OneShotVerdict,
  oneShotMethods,
  type UndoStep,
} from "./request.ts";
import { judgeSystemdBoot, readSystemdBootFacts, setSystemdBoot } from "./systemd-boot.ts";
import { undoSteps } from "./undo.ts";

export { describeFallback } from "./fallback.ts";
export { isOneShotPending } from "./pending.ts";
export type { OneShotMethod, OneShotRequest, OneShotUndo, OneShotVerdict } from "./request.ts";

/** Sets the one boot by the plan that it closes over; tells `record` of each step before it is taken. */
type Setter = (request: OneShotRequest, record: (step: UndoStep) => void) => Promise<string[]>;

/** Judges every method, and changes nothing. In the order of preference. */
export async function detectOneShot(
  root: string,
): Promise<{ readonly usable: readonly OneShotVerdict[]; readonly refused: readonly OneShotVerdict[] }> {
  const usable: OneShotVerdict[] = [];
  const refused: OneShotVerdict[] = [];
  for (const method of oneShotMethods) {
    const judgement = await judge(method, root);
    if ("refused" in judgement) refused.push({ method, reason: judgement.refused });
    else usable.push({ method, reason: judgement.reason });
  }
  return { usable, refused };
}

/**
 * Makes the next boot reimage's, once. Everything is synced when it returns; the machine then has to be restarted in an
 * orderly way (`systemctl reboot`, for kexec `systemctl kexec`), since boot loaders read file systems without their journal.
 * @throws ReimageError `old-os` where no method, or not the wanted one, can be used; `usage` for a command line that a loader
 * cannot carry. What was done by then is taken back: the old OS boots as before.
 * @param keep told before each step what there is to be taken back with it: for callers who have to be able to do so after a
 * power cut in the middle.
 */
export async function setOneShot(
  request: OneShotRequest,
  keep: (undo: OneShotUndo) => void = () => {},
): Promise<OneShotUndo> {
  const complete = { ...request, commandLine: oneShotCommandLine(request.commandLine) };
  const { method, set } = await choose(request);
  const steps: UndoStep[] = [];
  try {
    const done = await set(complete, (step) => {
      steps.push(step);
      keep({ method, done: [], steps: [...steps] });
    });
    return { method, done, steps };
  } catch (error) {
    await undoSteps(steps, efiVariables()).catch((second: unknown) => {
      throw new SuppressedError(second, error);
    });
    throw error;
  }
}

/** Takes a one boot back, whether it was used or not. Can be repeated; what somebody else has changed meanwhile stays. */
export async function clearOneShot(undo: OneShotUndo): Promise<void> {
  await undoSteps(undo.steps, efiVariables());
}

async function choose({ root, method }: OneShotRequest): Promise<{ method: OneShotMethod; set: Setter }> {
  const reasons: string[] = [];
  for (const candidate of method === undefined ? oneShotMethods : [method]) {
    const judgement = await judge(candidate, root);
    if ("plan" in judgement) return { method: candidate, set: judgement.plan };
    reasons.push(`${candidate}: ${judgement.refused}`);
  }
  throw new ReimageError("old-os", `reimage cannot be booted once from here: ${reasons.join("; ")}`, {
    hint: "mend one of these, or boot reimage by other means (network, USB stick); nothing was changed",
  });
}

async function judge(method: OneShotMethod, root: string): Promise<Judgement<Setter>> {
  const variables = efiVariables();
  switch (method) {
    case "grub":
    case "grub-bls": {
      const by = method === "grub" ? "custom" : "bls";
      const judged = judgeGrub(await readGrubFacts(root), by);
      return settle(judged, (plan, request, record) => setGrub(request, plan, by, record));
    }
    case "systemd-boot": {
      const judged = judgeSystemdBoot(await readSystemdBootFacts(root, variables));
      return settle(judged, (plan, request, record) => setSystemdBoot(request, plan, variables, record));
    }
    case "extlinux":
      return settle(judgeExtlinux(await readExtlinuxFacts(root)), (plan, request, record) =>
        setExtlinux(request, plan, record),
      );
    case "bootnext": {
      const judged = judgeBootNext(await readBootNextFacts(root, variables));
      return settle(judged, (plan, request, record) => setFirmwareBootNext(request, plan, variables, record));
    }
    case "kexec":
      return settle(judgeKexec(await readKexecFacts()), (_, request, record) => setKexec(request, record));
  }
}

function settle<Plan>(
  judgement: Judgement<Plan>,
  set: (plan: Plan, ...rest: Parameters<Setter>) => Promise<string[]>,
): Judgement<Setter> {
  if ("refused" in judgement) return judgement;
  const { plan, reason } = judgement;
  return { plan: (request, record) => set(plan, request, record), reason };
}
