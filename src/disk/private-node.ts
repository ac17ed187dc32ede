/** A disk opened without anybody being told. */
import { rmSync, statSync } from "node:fs";
import { makeNode } from "../system/libc.ts";
import { type BlockDevice, openBlockDevice } from "./block-device.ts";

const S_IFBLK = 0o060000;

/**
 * Opens a disk for writing by a node of its own, which is gone when this returns. udev watches its own nodes and looks at a disk
 * anew when one that was open for writing is closed; while the table on the disk is the lifeboat's it would then take the links
 * of the old partitions away, and systemd would unmount them.
 */
export async function openPrivately(path: string): Promise<BlockDevice> {
  const node = `/dev/.reimage-${process.pid}`;
  rmSync(node, { force: true });
  makeNode(node, S_IFBLK | 0o600, statSync(path, { bigint: true }).rdev);
  try {
    return await openBlockDevice(node, { write: true, exclusive: false, name: path });
  } finally {
    rmSync(node, { force: true });
  }
}

/** Opens a disk likewise, uses it, and closes it again. */
export async function withPrivateNode<T>(path: string, use: (device: BlockDevice) => Promise<T>): Promise<T> {
  await using device = await openPrivately(path);
  return await use(device);
}
