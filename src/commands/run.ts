/** `reimage run`: the three stages in a running system, for loop devices and rescue systems. */
import { ReimageError } from "../errors.ts";
import { createConsoleSink } from "../report/console.ts";
import { createLogSink } from "../report/log.ts";
import { createNdjsonSink, readLastSeq } from "../report/ndjson.ts";
import { createReporter } from "../report/reporter.ts";
import { eventsPath, logPath } from "../stages/record.ts";
import { runStages } from "../stages/run.ts";
import { openRunId } from "../stages/run-id.ts";
import { lockWorkDir } from "../stages/work-dir.ts";
import { version } from "../version.ts";
import { type Command, statusOf } from "./command.ts";
import { createLateSink, openControl } from "./control.ts";
import { parseRunOptions, sharedUsage } from "./run-options.ts";

export const runCommand: Command = {
  name: "run",
  summary: "overwrite the target disk: save, write, restore (needs --yes)",
  usage: `reimage run --yes [options]

Overwrites the target disk with the image and puts the retained files back. Started again after a crash with the
same configuration, it carries on. The disk does not boot from the first write until everything is proven.

  --yes              overwrite the disk; without it nothing is done
${sharedUsage}

Exit status: 0 done, 2 wrong usage or configuration, 3 refused and the disk is untouched, 4 failed after the first write.
`,
  async run(args) {
    const { config, workDir, yes } = parseRunOptions(args);
    if (!yes) {
      throw new ReimageError("usage", "run overwrites a whole disk and needs --yes", {
        hint: "`reimage plan` with the same options shows what would happen, and writes nothing",
      });
    }
    await using _lock = await lockWorkDir(workDir);
    const console = createConsoleSink([
      { kind: process.stdout.isTTY ? "terminal" : "line", write: (text) => void process.stdout.write(text) },
    ]);
    const lateSink = createLateSink();
    const sinks = [console, createLogSink(logPath(workDir)), createNdjsonSink(eventsPath(workDir)), lateSink];
    const reporter = createReporter(sinks, readLastSeq(eventsPath(workDir)));
    const shared = { workDir, runId: openRunId(workDir), reporter, waitSeconds: 0 };
    await using control = await openControl(config, { ...shared, lateSink, network: Promise.resolve() });
    const alone = { lifeboat: null, bootVariables: null }; // a rescue system may not be the machine that boots the disk
    const outcome = await runStages(config, { ...shared, overseer: control.overseer, version, ...alone });
    await control.finish();
    return statusOf(outcome);
  },
};
