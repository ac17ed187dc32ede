/** A block device that is looked at while it is used. */
import type { BlockDevice } from "../../src/disk/block-device.ts";

/** The steps at which a device can be looked at, or fail. */
export type Operation = "write" | "sync" | "read";

/** A device that reports every operation before it is done; what `before` throws is its failure. `instead` replaces what it does. */
export function watchDevice(
  device: BlockDevice,
  before: (what: Operation, offsetBytes: number, sizeBytes: number) => Promise<void> | void,
  instead: Partial<BlockDevice> = {},
): BlockDevice {
  const own: Partial<BlockDevice> = {
    async writeAt(buffer, offsetBytes) {
      await before("write", offsetBytes, buffer.length);
      await device.writeAt(buffer, offsetBytes);
    },
    async writeDirectAt(buffer, offsetBytes) {
      await before("write", offsetBytes, buffer.length);
      await device.writeDirectAt(buffer, offsetBytes);
    },
    async zeroRange(offsetBytes, sizeBytes) {
      await before("write", offsetBytes, sizeBytes);
      await device.zeroRange(offsetBytes, sizeBytes);
    },
    async readDirectAt(buffer, offsetBytes) {
      await before("read", offsetBytes, buffer.length);
      await device.readDirectAt(buffer, offsetBytes);
    },
    async sync() {
      await before("sync", 0, 0);
      await device.sync();
    },
    ...instead,
  };
  return new Proxy(device, {
    get(target, name) {
      const value = Reflect.get(name in own ? own : target, name, name in own ? own : target);
      return typeof value === "function" ? value.bind(name in own ? own : target) : value;
    },
  });
}
