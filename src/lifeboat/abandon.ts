/** Giving a run up while the old OS is whole: its boot sector comes back. */
import { ReimageError } from "../errors.ts";
import { writeProven } from "./boot-sectors.ts";
import type { Lifeboat } from "./lifeboat.ts";
import { isOldOsWhole } from "./record.ts";

/**
 * Puts the old sector back, so that the old OS boots again, with its swap space. What the retained files were parked in is
 * overwritten; the reason stays in the record, for `reimage status`.
 * @throws ReimageError `lifeboat` where the old OS is not whole any more; `device-io`, `readback`.
 */
export async function abandonLifeboat(lifeboat: Lifeboat, reason: string): Promise<void> {
  const { header, record } = lifeboat;
  if (!isOldOsWhole(record.state)) {
    throw new ReimageError(
      "lifeboat",
      `the run has begun to write (state ${record.state}): there is no old OS any more`,
    );
  }
  const noted = await lifeboat.advance({ reason }).then(
    () => true,
    () => false, // a disk that takes no writes here may still take the one that matters
  );
  const { oldSector, sectorOffsetBytes } = header.switching;
  await lifeboat.withDevice(async (device) => {
    if (header.undo.kind === "swap") {
      // First, so that the old OS has it whenever it boots.
      const data = Buffer.from(header.undo.firstPage, "base64");
      await writeProven(device, { offsetBytes: header.undo.partition.offsetBytes, data });
    }
    await writeProven(device, { offsetBytes: sectorOffsetBytes, data: Buffer.from(oldSector, "base64") });
  });
  if (!noted) return;
  if (record.retained !== null) await lifeboat.discardRetained();
  await lifeboat.advance({ state: "abandoned", retained: null });
}
