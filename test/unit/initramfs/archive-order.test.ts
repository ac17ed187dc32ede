import { expect, test } from "bun:test";
import { archiveOrder } from "../../../initramfs/archive-order.ts";

const modules = "usr/lib/modules/6.1";
const folders = ["etc", "usr", "usr/bin", "usr/lib", `${modules}/kernel/drivers/block`].map((path) => ({
  path,
  isFolder: true,
}));
const files = [
  ...[
    "zz-complete",
    "usr/bin/zstd",
    "usr/bin/reimage",
    "usr/bin/modprobe",
    "usr/bin/busybox",
    "usr/bin/sh",
    "lib",
    "init",
  ],
  ...[`${modules}/kernel/fs/ext4/ext4.ko.zst`, `${modules}/kernel/drivers/net/e1000.ko.zst`, "give-back", "drivers"],
  ...[
    `${modules}/kernel/drivers/block/virtio_blk.ko.zst`,
    `${modules}/modules.dep.bin`,
    "usr/lib/libz.so",
    "usr/lib/libc.so",
  ],
].map((path) => ({ path, isFolder: false }));

test("a machine that cannot unpack all of it can find its disk all the same", () => {
  expect(archiveOrder([...files, ...folders], ["usr/lib/libc.so"])).toEqual([
    "drivers",
    ...["etc", "lib", "usr", "usr/bin", "usr/lib", `${modules}/kernel/drivers/block`],
    ...["give-back", "init", "usr/bin/busybox", "usr/bin/modprobe", "usr/bin/sh", "usr/lib/libc.so"],
    ...[`${modules}/kernel/drivers/block/virtio_blk.ko.zst`, `${modules}/modules.dep.bin`],
    ...["usr/bin/reimage", "usr/bin/zstd", "usr/lib/libz.so"],
    ...[`${modules}/kernel/drivers/net/e1000.ko.zst`, `${modules}/kernel/fs/ext4/ext4.ko.zst`],
    "zz-complete",
  ]);
});

test("the order does not depend on the order of what is found", () => {
  expect(archiveOrder([...folders, ...files.toReversed()], [])).toEqual(archiveOrder([...files, ...folders], []));
});
