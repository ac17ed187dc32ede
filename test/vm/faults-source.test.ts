/** Below a signed image, in a virtual machine: decoders that the kernel kills, sectors of 4096 bytes, and web servers that fail. */
import { afterAll, beforeAll, expect } from "bun:test";
import { statSync } from "node:fs";
import { join } from "node:path";
import { type FaultImages, faultDiskMiB, makeFaultImages } from "../support/fault-image.ts";
import { startFaultMachine, startFaultyDisk } from "../support/fault-machine.ts";
import { expectHolds, expectPartial, expectRefused } from "../support/fault-outcome.ts";
import { type Fault, HttpServer } from "../support/http-server.ts";
import { bootTimeoutMs } from "../support/kiosk-vm.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { machineTest } from "../support/machine-test.ts";
import type { Fate } from "../support/nbd-disk.ts";
import { hostSeenFromGuest, networkArguments } from "../support/network-cards.ts";
import { createEmptyDisk, type VmDisk } from "../support/vm-disk.ts";

const MiB = 1 << 20;

let made: TemporaryDirectory;
let images: FaultImages;

beforeAll(async () => {
  made = await temporaryDirectory();
  images = await makeFaultImages(made.dir);
}, bootTimeoutMs);
afterAll(async () => await made[Symbol.asyncDispose]());

/** The kernel's OOM killer takes the decoder, and nothing else: it is made the worst of all, and then there is no memory. */
const killDecoder = `echo 1000 >/proc/$pid/oom_score_adj; echo f >/proc/sysrq-trigger
while [ -e /proc/$pid ]; do sleep 0.1; done`;

machineTest(
  "a decoder that the OOM killer ends: refused before the write, partial during it; and 4Kn disks",
  async () => {
    await using target = await startFaultyDisk(made.dir, "OOM");
    createEmptyDisk(join(made.dir, "4kn.img"), faultDiskMiB);
    const large: VmDisk = { file: join(made.dir, "4kn.img"), format: "raw", bus: "virtio", serial: "4KN" };
    await using machine = await startFaultMachine(images, [target.disk, { ...large, sectorSizeBytes: 4096 }]);
    const before = Buffer.from(target.nbd.content);
    const kills = () => machine.shell.run("dmesg | grep -c 'Killed process [0-9]* (zstd)'");

    // Before it has decoded anything, it waits for what ends it.
    await machine.shell.must(`cp /usr/bin/zstd /tmp/zstd && rm /usr/bin/zstd && cat >/usr/bin/zstd <<'END'
#!/bin/sh
echo $$ >/tmp/decoder; kill -STOP $$; exec /tmp/zstd "$@"
END
chmod +x /usr/bin/zstd`);
    const judged = await machine.run("OOM", {
      beside: `until read -r pid </tmp/decoder; do sleep 0.1; done 2>/dev/null; ${killDecoder}`,
    });
    expectRefused(judged, { code: "image", says: /zstd .*was ended by SIGKILL/ });
    expect(target.nbd.content.equals(before)).toBe(true);
    expect(await kills()).toMatchObject({ output: "1\n" });
    await machine.shell.must("mv /tmp/zstd /usr/bin/zstd");

    // In the middle of the write, of which the first part of the body waits for that: the decoder cannot have ended.
    const { promise: killed, resolve: isKilled } = Promise.withResolvers<void>();
    target.nbd.faults = {
      async write(offsetBytes, data): Promise<Fate> {
        if (offsetBytes >= MiB && data.some((byte) => byte !== 0)) await killed;
        return "done";
      },
    };
    const written = await machine.run("OOM", {
      beside: `until grep -q '"what":"writing the image"' $work/events.ndjson; do sleep 0.1; done
until pid=$(pidof zstd); do sleep 0.1; done; ${killDecoder}; echo the-decoder-is-gone >/dev/ttyS0`,
      when: { says: /the-decoder-is-gone/, act: async () => isKilled() },
    });
    expectPartial(written, target.nbd.content, { code: "image", says: /zstd .*was ended by SIGKILL/ });
    expect(await kills()).toMatchObject({ output: "2\n" });

    const wrong = await machine.run("4KN");
    expectRefused(wrong, { code: "image", says: /made for sectors of 512 bytes.* 4096/ });
    const isWritten = "[ $(awk '{print $7 + $14}' /sys/block/vdc/stat) != 0 ]";
    expect((await machine.shell.run(isWritten)).status).toBe(1);
    const right = await machine.run("4KN", { image: "signedFor4096" });
    expect(right.report).toMatchObject({ outcome: "success", target: "complete", reason: null });
    expect(await machine.shell.must("blkid -p /dev/vdc1")).toContain('LABEL="large-sectors"');
  },
);

machineTest(
  "an image on a web server that cuts, loses, or changes it: resumed where that is right, else no success",
  async () => {
    await using target = await startFaultyDisk(made.dir, "HTTP");
    const { content } = target.nbd;
    const isWriting = () => content.subarray(0, 512).every((byte) => byte === 0);
    type Answer = (sizeBytes: number) => Fault;
    let judging: Answer | null = null;
    /** What becomes of the requests for most of the image, during the write, in this order. */
    let writing: Answer[] = [];
    const path = "/new.img.zst";
    const imageBytes = statSync(join(images.folder, path)).size;
    await using server = await HttpServer.start(images.folder, ({ path: asked, range }) => {
      if (asked !== path) return null;
      if (!isWriting()) return judging?.(imageBytes) ?? null;
      const sizeBytes = range === null ? 0 : range.endBytes - range.startBytes;
      return sizeBytes > 1 << 20 ? (writing.shift()?.(sizeBytes) ?? null) : null;
    });
    await using machine = await startFaultMachine(images, [target.disk], {
      extraArguments: networkArguments([{ model: "virtio-net-pci", mac: "52:54:00:00:00:01", network: "user" }]),
    });
    await machine.shell.must(`/usr/bin/modprobe virtio_net; until ip link set eth0 up; do sleep 0.1; done
ip addr add 10.0.2.15/24 dev eth0; until [ $(cat /sys/class/net/eth0/carrier) = 1 ]; do sleep 0.1; done`);
    const run = async (answers: { readonly judging?: Answer; readonly writing?: readonly Answer[] }) => {
      content.fill(0xff);
      judging = answers.judging ?? null;
      writing = [...(answers.writing ?? [])];
      const set = ["image.timeoutSeconds=2", "image.stallSeconds=3"];
      const ended = await machine.run("HTTP", { image: server.url(path, hostSeenFromGuest), set });
      expect(writing).toEqual([]); // all of it has happened
      return ended;
    };
    const half: Answer = (sizeBytes) => ({ onlyBytes: sizeBytes >> 1 });
    const allButOneByte: Answer = (sizeBytes) => ({ onlyBytes: sizeBytes - 1 });

    const missing = await run({ judging: () => ({ status: 404 }) });
    expectRefused(missing, { code: "image", says: /404/ });
    const short = await run({ judging: () => ({ headers: { "content-length": String(imageBytes - 1) } }) });
    expectRefused(short, { code: "image", says: new RegExp(`${imageBytes - 1}`) });
    expect(content.every((byte) => byte === 0xff)).toBe(true);

    const gone = await run({ writing: [half, () => ({ status: 404 })] });
    expectPartial(gone, content, { code: "image", says: /404/ });
    const changed = await run({ writing: [half, () => ({ headers: { etag: '"another"' } })] });
    expectPartial(changed, content, { code: "image", says: /changed/ });
    const longer = { "content-range": `bytes 0-${imageBytes}/${imageBytes + 1}` };
    const grown = await run({ writing: [half, () => ({ headers: longer })] });
    expectPartial(grown, content, { code: "image", says: new RegExp(`${imageBytes + 1}`) });

    await expectHolds(images, target, await run({ writing: [half, allButOneByte] }));
  },
);
