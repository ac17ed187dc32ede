/** A report that never arrived, made again from what the OS says of itself that the run installed. */
import type { BootInfo } from "../../disk/boot-info.ts";
import type { WireBootInfo } from "../protocol/machine.ts";
import type { ReportMessage } from "../protocol/run.ts";

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The run that installed an OS; null where it does not say (pure). */
export function installingRunOf(bootInfo: BootInfo | null): string | null {
  return bootInfo !== null && uuid.test(bootInfo.run_id) ? bootInfo.run_id : null;
}

/** The report of the run that installed an OS; null where boot info does not prove it (pure). */
export function rebuildReport(bootInfo: BootInfo): ReportMessage | null {
  const runId = installingRunOf(bootInfo);
  const sha256 = /^[0-9a-f]{64}$/;
  if (runId === null || !sha256.test(bootInfo.image_sha256) || !sha256.test(bootInfo.readback_sha256)) return null;
  const report = {
    schemaVersion: 1,
    runId,
    outcome: "success",
    stage: "restore",
    target: "complete",
    reason: null,
    image: { id: bootInfo.image_id, sha256: bootInfo.image_sha256 },
    readback: bootInfo.readback_sha256,
    disk: bootInfo.disk,
    rebuiltFromBootInfo: true,
  } as const;
  return { runId, report, bootInfo: wireBootInfo(bootInfo) };
}

/** Boot info as it may be sent: a field that is longer than the endpoint takes is cut (pure). */
export function wireBootInfo(bootInfo: BootInfo): WireBootInfo {
  const limited = Object.entries(bootInfo).map(([key, value]) => [
    key,
    typeof value === "string" ? value.slice(0, key === "cmdline" ? 4096 : 1024) : value,
  ]);
  return Object.fromEntries(limited) as WireBootInfo;
}
