/** Long polls: until a machine is to be installed, or the time is up. */
import type { Endpoint } from "../../api/context.ts";

/**
 * Waits until `isReady`, which is asked again whenever the machine has changed.
 * @returns false where the time was up, the caller went away, or the endpoint is being stopped.
 */
export async function waitUntil(
  { store, stopping }: Pick<Endpoint, "store" | "stopping">,
  machineId: string,
  timeoutSeconds: number,
  gone: AbortSignal,
  isReady: () => Promise<boolean>,
): Promise<boolean> {
  const over = AbortSignal.any([stopping, gone, AbortSignal.timeout(timeoutSeconds * 1000)]);
  let wake = Promise.withResolvers<void>();
  over.addEventListener("abort", () => wake.resolve());
  const unsubscribe = store.feed.subscribe((ids) => {
    if (ids === null || ids.includes(machineId)) wake.resolve();
  });
  try {
    for (;;) {
      if (await isReady()) return true;
      if (over.aborted) return false;
      await wake.promise;
      wake = Promise.withResolvers();
      if (over.aborted) wake.resolve();
    }
  } finally {
    unsubscribe();
  }
}
