/** Arms without the command line: on other firmware than this computer's, or with something that happens in between. */
import { resolve } from "node:path";
import { type Armed, arm } from "../../src/arming/arm.ts";
import type { BootFacts } from "../../src/arming/firmware-checks.ts";
import { openWorkFolder } from "../../src/arming/work-folder.ts";
import { resolveConfig } from "../../src/config/resolve.ts";
import type { PlaceKind } from "../../src/lifeboat/places/place.ts";
import type { Event } from "../../src/report/events.ts";
import { createReporter } from "../../src/report/reporter.ts";
import { lookingContext } from "../../src/stages/context.ts";
import { judge } from "../../src/stages/judge.ts";
import { nobody } from "../../src/stages/overseer.ts";
import type { ArmableDisk } from "./armable-disk.ts";

export interface ArmInProcess {
  readonly boot?: BootFacts;
  readonly only?: PlaceKind;
  /** Called between judging and filling. */
  between?(): Promise<void>;
  /** Called at each step, in words. */
  onStep?(message: string): void;
}

const bios: BootFacts = { firmware: "bios", espUuid: null, loaderPaths: [], loaderPath: null };

export async function armInProcess(armable: ArmableDisk, options: ArmInProcess = {}): Promise<Armed> {
  const { stateDir, config: configPath, arguments: given } = armable;
  const initramfs = given[given.indexOf("--initramfs") + 1] ?? "";
  const config = resolveConfig(await Bun.file(configPath).text(), configPath, []);
  await using folder = await openWorkFolder();
  const receive = (event: Event) => (event.type === "step" ? options.onStep?.(event.message) : undefined);
  const reporter = createReporter([{ name: "the test", receive }], 0);
  const context = lookingContext({ workDir: folder.path, overseer: nobody, reporter, isLiving: true });
  await using judged = await judge(config, context, { copy: false, parks: true, memoryDir: folder.path });
  await options.between?.();
  return await arm({
    ...{ config, judged, context, stateDir },
    boot: options.boot ?? bios,
    kernelPath: resolve("build/vmlinuz"),
    initramfsPath: initramfs,
    commandLine: "quiet",
    carried: [],
    mostAttempts: 20,
    ...(options.only === undefined ? {} : { only: options.only }),
  });
}
