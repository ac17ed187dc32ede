/** A run that was given up, and whose program was killed before the machine ended, does not go on: the old OS boots next. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { openBlockDevice } from "../../src/disk/block-device.ts";
import { requireNotGivenUp } from "../../src/init/boarding.ts";
import { abandonLifeboat } from "../../src/lifeboat/abandon.ts";
import { writeProven } from "../../src/lifeboat/boot-sectors.ts";
import { openLifeboat } from "../../src/lifeboat/lifeboat.ts";
import { type ArmImage, makeArmImage, openArmable } from "../support/armable-disk.ts";
import { refusalOf } from "../support/refusal-of.ts";

const timeoutMs = 120_000;
let image: ArmImage;
beforeAll(async () => {
  image = await makeArmImage();
}, timeoutMs);
afterAll(() => image[Symbol.asyncDispose]());

test(
  "given up: by the record, or by the old boot sector alone, but not once the old OS is overwritten",
  async () => {
    await using armable = await openArmable(image, { place: "gap" });
    expect(await armable.arm()).toMatchObject({ exitCode: 0 });
    const header = await armable.header();
    const open = async () => await openLifeboat(await armable.disk.read(), header);
    await requireNotGivenUp(await open());

    // Killed between the sector and the record of it.
    const { sectorOffsetBytes: offsetBytes, oldSector, lifeboatSector } = header.switching;
    const put = async (sector: string) => {
      await using device = await openBlockDevice(armable.disk.path, { write: true, exclusive: false });
      await writeProven(device, { offsetBytes, data: Buffer.from(sector, "base64") });
    };
    await put(oldSector);
    const { message } = await refusalOf(requireNotGivenUp(await open()));
    expect(message).toContain("the old boot sector is on the disk");
    await put(lifeboatSector);
    await requireNotGivenUp(await open());

    await abandonLifeboat(await open(), "a required file is gone");
    await put(lifeboatSector); // whatever the sector is
    const refusal = await refusalOf(requireNotGivenUp(await open()));
    expect(refusal).toMatchObject({ code: "lifeboat", message: "a required file is gone" });

    await put(oldSector); // what is overwritten is not gone back to
    await (await open()).advance({ state: "writing" });
    await requireNotGivenUp(await open());
  },
  timeoutMs,
);
