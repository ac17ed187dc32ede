/** What was asked for, and which runs there were. */
import type { Reinstall } from "../../protocol/reinstall.ts";
import type { Run } from "../../protocol/run.ts";
import type { Condition } from "../../view/condition.ts";
import { showPlainly } from "../../view/plain-text.ts";
import { FailureNote } from "../parts/failure.tsx";
import { ConditionIcon } from "../parts/icons.tsx";
import type { Answer } from "../parts/use-answer.ts";
import { formatTime } from "../times.ts";

interface Props {
  readonly reinstalls: Answer<{ readonly reinstalls: readonly Reinstall[] }>;
  readonly runs: Answer<{ readonly runs: readonly Run[] }>;
  readonly runId: string | null;
  readonly onChooseRun: (id: string) => void;
}

const icons: Readonly<Record<Reinstall["state"], Condition>> = {
  requested: "requested",
  running: "running",
  writing: "writing",
  unreported: "unproven",
  waiting: "waiting",
  parked: "parked",
  succeeded: "installed",
  aborted: "idle",
};

export function HistoryTab({ reinstalls, runs, runId, onChooseRun }: Props) {
  const failure = reinstalls.failure ?? runs.failure;
  return (
    <div class="history">
      {failure === null ? null : <FailureNote failure={failure} />}
      <h3>Reinstallations</h3>
      {reinstalls.answer?.reinstalls.length === 0 ? <p class="empty">None was ever asked for.</p> : null}
      <ol>
        {reinstalls.answer?.reinstalls.map((each) => (
          <li key={each.id} class={icons[each.state]}>
            <ConditionIcon kind={icons[each.state]} />
            <div>
              <p>
                <b class="word">{each.state}</b> {showPlainly(each.imageId)}
              </p>
              <p class="dim">
                {formatTime(each.createdAt)} by {showPlainly(each.requestedBy)}; attempt {each.attempt} of{" "}
                {each.mostAttempts}; disk {each.target}
                {each.nextAttemptAt === null ? "" : `; again at ${formatTime(each.nextAttemptAt)}`}
              </p>
              {each.reason === null ? null : <p class="reason">{showPlainly(each.reason)}</p>}
            </div>
          </li>
        ))}
      </ol>
      <h3>Runs</h3>
      {runs.answer?.runs.length === 0 ? <p class="empty">This machine has told of none.</p> : null}
      <ol>
        {runs.answer?.runs.map((run) => (
          <RunLine key={run.id} run={run} isChosen={run.id === runId} onChoose={() => onChooseRun(run.id)} />
        ))}
      </ol>
    </div>
  );
}

interface RunLineProps {
  readonly run: Run;
  readonly isChosen: boolean;
  readonly onChoose: () => void;
}

function RunLine({ run, isChosen, onChoose }: RunLineProps) {
  const condition = run.outcome === "success" ? "installed" : run.outcome === "failed" ? "failed" : "running";
  const words =
    run.outcome === "success" && run.verdict !== "verified" ? "success, unproven" : (run.outcome ?? "not ended");
  return (
    <li class={condition}>
      <ConditionIcon kind={condition} />
      <div>
        <p>
          <b class="word">{words}</b> {run.imageId === null ? "" : showPlainly(run.imageId)}
        </p>
        <p class="dim">
          {formatTime(run.startedAt)}
          {run.attempt === null ? "" : `; attempt ${run.attempt}`}; disk {run.target}
        </p>
        {run.reason === null ? null : <p class="reason">{showPlainly(run.reason)}</p>}
      </div>
      <button type="button" class="quiet" aria-pressed={isChosen} onClick={onChoose}>
        Log
      </button>
    </li>
  );
}
