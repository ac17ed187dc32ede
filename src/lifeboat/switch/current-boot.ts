/** What a disk boots now, by its first two sectors. Pure. */
import { hasMbrSignature, isProtectedByMbr } from "../../disk/mbr.ts";
import { namesOnly } from "./mbr-sector.ts";
import type { SwitchPlan } from "./switch-plan.ts";
import { isSameTable } from "./transitional-table.ts";

/** `foreign`: neither; somebody has written there, or it is the new OS. */
export type CurrentBoot = "old" | "lifeboat" | "foreign";

/** @param head at least the first two sectors of the disk */
export function currentBoot(
  head: Buffer,
  plan: Pick<SwitchPlan, "form" | "sectorSizeBytes" | "bootVolume" | "oldSector" | "lifeboatSector">,
): CurrentBoot {
  const { form, sectorSizeBytes, oldSector, lifeboatSector } = plan;
  const first = head.subarray(0, sectorSizeBytes);
  if (form === "mbr") {
    if (first.equals(oldSector)) return "old";
    return first.equals(lifeboatSector) ? "lifeboat" : "foreign";
  }
  if (!hasMbrSignature(first)) return "foreign";
  if (!isProtectedByMbr(first)) return namesOnly(first, plan.bootVolume, sectorSizeBytes) ? "lifeboat" : "foreign";
  if (isSameTable(head, oldSector, sectorSizeBytes)) return "old";
  return isSameTable(head, lifeboatSector, sectorSizeBytes) ? "lifeboat" : "foreign";
}
