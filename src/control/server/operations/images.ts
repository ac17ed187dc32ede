/** The images that machines can be reinstalled with. */
import { ReimageError } from "../../../errors.ts";
import { type Image, imageSchema } from "../../protocol/image.ts";
import type { Actor, Store } from "../database/store.ts";

export async function listImages(store: Pick<Store, "db">): Promise<Image[]> {
  const rows = await store.db.selectFrom("images").selectAll().orderBy("id").execute();
  return rows.map((row) => imageSchema.parse(row));
}

/** @throws ReimageError `not-found` */
export async function readImage(store: Store, id: string): Promise<Image> {
  const row = await store.db.selectFrom("images").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined) throw new ReimageError("not-found", `there is no image ${id}`);
  return imageSchema.parse(row);
}

export async function putImage(store: Store, actor: Actor, image: Image): Promise<void> {
  await store.write(actor, async ({ db, audit }) => {
    const { id, ...rest } = image;
    await db
      .insertInto("images")
      .values(image)
      .onConflict((conflict) => conflict.column("id").doUpdateSet(rest))
      .execute();
    await audit("image.put", `image:${id}`, rest);
  });
}

/** @throws ReimageError `not-found`; `conflict` while a machine is being reinstalled with it. */
export async function removeImage(store: Store, actor: Actor, id: string): Promise<void> {
  await store.write(actor, async ({ db, audit }) => {
    const open = db
      .selectFrom("reinstalls")
      .select("machine_id")
      .where("image_id", "=", id)
      .where("ended_at", "is", null);
    const used = await open.executeTakeFirst();
    if (used !== undefined) {
      throw new ReimageError("conflict", `machine ${used.machine_id} is being reinstalled with image ${id}`);
    }
    const { numDeletedRows } = await db.deleteFrom("images").where("id", "=", id).executeTakeFirst();
    if (numDeletedRows === 0n) throw new ReimageError("not-found", `there is no image ${id}`);
    await audit("image.removed", `image:${id}`);
  });
}
