/** Power as PXE Pilot does it: the answer comes when it is done. */
import { ReimageError } from "../../../../errors.ts";
import type { PowerJob } from "../../../protocol/power.ts";
import type { Endpoint } from "../../api/context.ts";
import { readPowerJob } from "../../operations/power.ts";
import type { PowerAction } from "../../power/adapter.ts";

/** Its clients and servers wait for 30 s. */
const LONGEST_WAIT_MS = 25_000;
const POLL_MS = 50;

/** @throws ReimageError `power` where it failed, or has not ended in time; what `PowerService.submit` throws. */
export async function switchPower(
  { power, store, stopping }: Endpoint,
  machineId: string,
  action: PowerAction,
  address: string | null,
): Promise<PowerJob> {
  const { id } = await power.submit({ name: "facade:pxe-pilot", address }, machineId, action);
  const endAt = performance.now() + LONGEST_WAIT_MS;
  while (performance.now() < endAt && !stopping.aborted) {
    const job = await readPowerJob(store, id);
    if (job.state === "done") return job;
    if (job.state === "failed") throw new ReimageError("power", job.message ?? `${action} of ${machineId} failed`);
    await Bun.sleep(POLL_MS);
  }
  throw new ReimageError("power", `${action} of machine ${machineId} has not ended in time; job ${id} goes on`);
}

/** `On`, `Off` or `Unknown`; unknown too where the machine cannot be asked. */
export async function readPowerState(endpoint: Endpoint, machineId: string, address: string | null): Promise<string> {
  try {
    const { power } = await switchPower(endpoint, machineId, "status", address);
    return power === "on" ? "On" : power === "off" ? "Off" : "Unknown";
  } catch {
    return "Unknown";
  }
}

/** What became of the reboot of a deployed host. */
export async function reboot(endpoint: Endpoint, machineId: string, address: string | null): Promise<"YES" | "ERROR"> {
  try {
    await switchPower(endpoint, machineId, "reset", address);
    return "YES";
  } catch {
    return "ERROR"; // the job, and the audit, say why
  }
}
