/** Names in a directory, made durable. */
import { constants } from "node:fs";
import { open } from "node:fs/promises";

/** fsync(2) of a directory: the names in it are on the disk when this returns. */
export async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  await directory.sync();
}
