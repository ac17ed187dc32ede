/** The running system may have a kernel of ten years ago: `arm` and `disarm` where every system call since Linux 4.4 is unknown. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { type ArmImage, differences, makeArmImage, openArmable } from "../support/armable-disk.ts";
import { runTestCommand } from "../support/loop-device.ts";

const timeoutMs = 300_000;
/** strace(1) makes them fail with ENOSYS, for the program and for all that it starts. It stops no other call: that takes minutes. */
const newer = [
  ...["copy_file_range", "preadv2", "pwritev2", "statx", "rseq", "io_uring_setup", "pidfd_send_signal", "open_tree"],
  ...["move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "pidfd_open", "clone3", "close_range", "openat2"],
  ...["pidfd_getfd", "faccessat2", "process_madvise", "epoll_pwait2", "mount_setattr", "landlock_create_ruleset"],
].join(",");

let image: ArmImage;
beforeAll(async () => {
  image = await makeArmImage();
}, timeoutMs);
afterAll(() => image[Symbol.asyncDispose]());

test(
  "a machine is armed and disarmed",
  async () => {
    await using armable = await openArmable(image, { place: "file" });
    const trace = join(armable.folder, "trace");
    const old = async (...args: readonly string[]): Promise<string> => {
      const which = ["-e", `trace=${newer}`, "-e", `inject=${newer}:error=ENOSYS`];
      const denied = ["strace", "-f", "--seccomp-bpf", "-o", trace, ...which];
      return await runTestCommand([...denied, process.execPath, "src/main.ts", ...args]);
    };
    const before = await armable.readAll();
    expect(await old("arm", ...armable.arguments)).toContain("Armed: the next start of this machine");
    expect(await Bun.file(trace).text()).toMatch(/openat2\(.*ENOSYS.*\(INJECTED\)/);
    expect(await armable.statusData()).toMatchObject({ armed: true, state: "armed" });
    await old("disarm", "--state", armable.stateDir);
    const bootSector = { offsetBytes: 512, sizeBytes: before.length - 512 };
    expect(differences(before, await armable.readAll(), [bootSector])).toEqual([]);
    expect(await armable.statusData()).toMatchObject({ armed: false });
  },
  timeoutMs,
);
