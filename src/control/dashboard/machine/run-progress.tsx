/** The three stages, and how far the step in hand is. */

import { formatBytes, formatDuration } from "../../../report/format.ts";
import type { MachineSummary } from "../../protocol/machine.ts";
import { conditionOf, isBusy, progressOf } from "../../view/condition.ts";
import { showPlainly } from "../../view/plain-text.ts";
import { type Sample, speedOf } from "./speed.ts";

const stages = ["save", "write", "restore"] as const;

interface Props {
  readonly summary: MachineSummary;
  readonly samples: readonly Sample[];
}

export function RunProgress({ summary, samples }: Props) {
  const { run } = summary;
  if (run === null) return null;
  const at = (stages as readonly (string | null)[]).indexOf(run.stage);
  const stateOf = (index: number) => {
    if (run.outcome === "success" || index < at) return "done";
    if (index > at) return "ahead";
    return run.outcome === "failed" ? "failed" : "now";
  };
  const done = progressOf(summary);
  const speed = speedOf(samples);
  const leftBytes = (run.totalBytes ?? 0) - (run.doneBytes ?? 0);
  const figures = [
    run.doneBytes === null
      ? ""
      : formatBytes(run.doneBytes) + (run.totalBytes === null ? "" : ` of ${formatBytes(run.totalBytes)}`),
    speed === null ? "" : `${formatBytes(speed)}/s`,
    speed === null || leftBytes <= 0 || run.totalBytes === null ? "" : `${formatDuration(leftBytes / speed)} left`,
  ].filter((text) => text !== "");
  return (
    <div class={`run-progress ${conditionOf(summary)}`}>
      <ol class="stages" aria-label="Stages of the last run">
        {stages.map((stage, index) => (
          <li key={stage} class={stateOf(index)} aria-current={stateOf(index) === "now" ? "step" : undefined}>
            {stage}
            <span class="unseen">, {stateOf(index)}</span>
          </li>
        ))}
      </ol>
      {isBusy(conditionOf(summary)) ? (
        <>
          <div
            class="track"
            role="progressbar"
            aria-label="Progress of the step in hand"
            aria-valuemin={0}
            aria-valuemax={100}
            aria-valuenow={done === null ? undefined : Math.floor(done * 100)}
          >
            <span style={{ transform: `scaleX(${done ?? 0})` }} />
          </div>
          <p class="figures">
            <span>{run.what === null ? " " : showPlainly(run.what)}</span>
            <span class="dim">{figures.join(" · ")}</span>
          </p>
        </>
      ) : null}
    </div>
  );
}
