/** `reimage plan`: judges everything as `run` would, changes nothing, and prints what would happen. */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { describeConfig } from "../config/describe.ts";
import { hideCredentials } from "../config/names.ts";
import type { Config } from "../config/schema.ts";
import { identityOf } from "../disk/inventory.ts";
import type { Reporter } from "../report/events.ts";
import { formatBytes } from "../report/format.ts";
import { lookingContext } from "../stages/context.ts";
import { type Judgement, judge } from "../stages/judge.ts";
import { nobody, type Overseer } from "../stages/overseer.ts";
import { recordBytes } from "../system/memory.ts";
import { type Command, exitStatus } from "./command.ts";
import { parseRunOptions, sharedUsage } from "./run-options.ts";

export const planCommand: Command = {
  name: "plan",
  summary: "judge everything, write nothing, and print what `run` would do",
  usage: `reimage plan [options]

Judges the disk, the image, the memory and the retained files exactly as \`reimage run\` would, and prints the result.
No disk is changed.

  --json             print the plan as JSON
${sharedUsage}

Exit status: 0 the run can begin, 2 wrong usage or configuration, 3 the run would be refused.
`,
  async run(args) {
    const { config, json, workDir: runDir } = parseRunOptions(args);
    const workDir = mkdtempSync(join(tmpdir(), "reimage-plan-"));
    try {
      mkdirSync(join(workDir, "mnt"));
      const warnings: string[] = [];
      const reporter: Reporter = {
        emit: (event) => {
          if (event.type === "warning") warnings.push(event.message);
        },
      };
      const overseer: Overseer = {
        ...nobody,
        async agree() {
          const message = "control.decides: a run asks the control endpoint first, and writes only if that says so";
          if (config.control?.decides) reporter.emit({ type: "warning", stage: "save", message });
          return null;
        },
      };
      const context = lookingContext({ workDir, overseer, reporter, isLiving: false });
      await using judged = await judge(config, context, {
        copy: false,
        parks: false,
        memoryDir: nearestDirectory(runDir),
      });
      const plan = { ...describePlan(config, judged), warnings };
      process.stdout.write(json ? `${JSON.stringify(plan, null, 2)}\n` : formatPlan(plan));
    } finally {
      rmSync(workDir, { recursive: true, force: true });
    }
    return exitStatus.done;
  },
};

/** The directory itself, or the one above it that is there. */
function nearestDirectory(path: string): string {
  return existsSync(path) ? path : nearestDirectory(dirname(resolve(path)));
}

/** The plan as data. */
function describePlan(config: Config, judged: Judgement) {
  const { image, target, memory, retained } = judged;
  return {
    configuration: describeConfig(config).split("\n"),
    target: identityOf(target),
    otherDisks: judged.otherDisks.map((disk) => disk.path),
    image: {
      source: hideCredentials(config.image.source),
      id: image.imageId,
      format: image.format,
      compressedSizeBytes: image.compressedSizeBytes,
      sizeBytes: image.sizeBytes,
      sha256: image.sha256,
      vouchedForBy: judged.isSigned
        ? "signed manifest"
        : judged.hasManifest
          ? "manifest, and decoding it once"
          : "decoding it once",
      writtenSizeBytes: image.pieces.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      isCopiedToMemory: memory.need.imageBytes > 0,
    },
    partitionTable: image.table.type,
    partitions: judged.partitions.map(({ number, kind, startBytes, sizeBytes, fileSystem }) => ({
      number,
      kind,
      startBytes,
      sizeBytes,
      type: fileSystem?.type ?? null,
      label: fileSystem?.label ?? null,
    })),
    newRoot: config.new.root,
    retained:
      retained === null ? null : { count: retained.count, sizeBytes: retained.totalBytes, missing: retained.missing },
    memory: {
      neededBytes: memory.need.imageBytes + memory.need.retainedBytes + recordBytes + memory.need.workingSetBytes,
      availableBytes: memory.facts.availableBytes,
    },
  };
}

function formatPlan(plan: ReturnType<typeof describePlan> & { warnings: readonly string[] }): string {
  const { target, image, retained, memory } = plan;
  const lines = [
    `Target     ${target.path}, ${formatBytes(target.sizeBytes)}, ${target.model ?? "no model"}, serial ${target.serial ?? "unknown"}: ALL OF IT WOULD BE OVERWRITTEN`,
    `Others     ${plan.otherDisks.join(", ") || "none"}: not touched`,
    `Image      ${image.source} (${image.format}, ${formatBytes(image.compressedSizeBytes)}; ${formatBytes(image.sizeBytes)} on the disk, ${formatBytes(image.writtenSizeBytes)} to be written)`,
    `           sha256 ${image.sha256}, judged by: ${image.vouchedForBy}`,
    `           ${image.isCopiedToMemory ? "would be copied to memory before anything is written" : "would be read from where it is"}`,
    `Partitions ${plan.partitionTable}: ${plan.partitions.map((p) => `${p.number} ${p.type ?? p.kind}${p.label === null ? "" : ` ${p.label}`}`).join(", ")}; new root ${plan.newRoot}`,
    `Retained   ${retained === null ? "nothing: there is no old OS" : `${retained.count} files and directories, ${formatBytes(retained.sizeBytes)}`}`,
    `Memory     ${formatBytes(memory.neededBytes)} needed, ${formatBytes(memory.availableBytes)} available`,
    ...plan.warnings.map((warning) => `Warning    ${warning}`),
    "Configuration",
    ...plan.configuration.map((line) => `           ${line}`),
    "Nothing has been changed. `reimage run --yes` with the same options would do this.",
  ];
  return `${lines.join("\n")}\n`;
}
