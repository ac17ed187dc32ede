/** One machine: what it is at, what can be done, and what is known of it. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Machine, MachineSummary } from "../../protocol/machine.ts";
import type { Reinstall } from "../../protocol/reinstall.ts";
import type { Run } from "../../protocol/run.ts";
import { conditionOf, conditionWords, isSilent, titleOf } from "../../view/condition.ts";
import { showPlainly } from "../../view/plain-text.ts";
import { ConditionIcon } from "../parts/icons.tsx";
import { Tabs } from "../parts/tabs.tsx";
import { useAnswer } from "../parts/use-answer.ts";
import { ActionButtons } from "./action-buttons.tsx";
import type { PendingAction } from "./action-dialog.tsx";
import { AuditTab } from "./audit-tab.tsx";
import { Facts } from "./facts.tsx";
import { HistoryTab } from "./history-tab.tsx";
import { LogTab } from "./log-tab.tsx";
import { ReportTab } from "./report-tab.tsx";
import { RunProgress } from "./run-progress.tsx";
import { useRunEvents } from "./use-run-events.ts";

interface Props {
  readonly summary: MachineSummary;
  readonly isLive: boolean;
  readonly mayAct: boolean;
  readonly nowMs: number;
  readonly onAct: (action: PendingAction) => void;
  readonly onClose: () => void;
}

const tabs = ["Log", "Report", "History", "Audit"] as const;
type Tab = (typeof tabs)[number];

export function MachinePanel({ summary, isLive, mayAct, nowMs, onAct, onClose }: Props) {
  const heading = useRef<HTMLHeadingElement>(null);
  const [tab, setTab] = useState<Tab>("Log");
  const [chosenRunId, setChosenRunId] = useState<string | null>(null);
  useEffect(() => heading.current?.focus(), []);

  // Asked again when something happened that these answers tell of; progress is not among it.
  const { reinstall, run, state, configuration } = summary;
  const version = JSON.stringify([isLive, reinstall, run?.id, run?.target, run?.outcome, state, configuration]);
  const details = useAnswer<Machine>(`/machines/${summary.id}`, version);
  const reinstalls = useAnswer<{ readonly reinstalls: readonly Reinstall[] }>(
    `/machines/${summary.id}/reinstalls`,
    version,
  );
  const runs = useAnswer<{ readonly runs: readonly Run[] }>(`/runs?machine=${summary.id}&limit=50`, version);

  const runId = chosenRunId ?? run?.id ?? null;
  const shownRun = runs.answer?.runs.find(({ id }) => id === runId) ?? null;
  const events = useRunEvents(runId);

  return (
    <aside class="panel" aria-label={`Machine ${titleOf(summary)}`}>
      <header>
        <h2 ref={heading} tabIndex={-1}>
          {showPlainly(titleOf(summary))}
        </h2>
        <button type="button" class="quiet close" aria-label="Close" aria-keyshortcuts="Escape" onClick={onClose}>
          ✕
        </button>
      </header>
      <div class="body">
        <Condition summary={summary} nowMs={nowMs} />
        <RunProgress summary={summary} samples={runId === run?.id ? events.samples : []} />
        {mayAct ? (
          <ActionButtons summary={summary} open={reinstalls.answer?.reinstalls[0] ?? null} onAct={onAct} />
        ) : null}
        <Facts summary={summary} machine={details.answer} failure={details.failure} nowMs={nowMs} />
        <Tabs names={tabs} chosen={tab} onChoose={setTab}>
          {tab === "Log" ? <LogTab key={runId} events={events} run={shownRun} isNewest={runId === run?.id} /> : null}
          {tab === "Report" ? <ReportTab key={runId} runId={runId} version={version} /> : null}
          {tab === "History" ? (
            <HistoryTab
              reinstalls={reinstalls}
              runs={runs}
              runId={runId}
              onChooseRun={(id) => {
                setChosenRunId(id === run?.id ? null : id);
                setTab("Log");
              }}
            />
          ) : null}
          {tab === "Audit" ? <AuditTab machineId={summary.id} version={version} /> : null}
        </Tabs>
      </div>
    </aside>
  );
}

function Condition({ summary, nowMs }: { readonly summary: MachineSummary; readonly nowMs: number }) {
  const condition = conditionOf(summary);
  const silent = isSilent(summary, nowMs);
  const { reinstall } = summary;
  const { word, meaning } = conditionWords[condition];
  return (
    <div class={`condition ${condition}`}>
      <ConditionIcon kind={silent ? "silent" : condition} />
      <div>
        <p>
          <b class="word">{word}</b>
          {reinstall === null || reinstall.attempt < 1 ? null : <span class="dim"> attempt {reinstall.attempt}</span>}
          {silent ? <b class="word silent"> · silent for more than five minutes</b> : null}
        </p>
        <p class="dim">{meaning[0]?.toUpperCase() + meaning.slice(1)}.</p>
        {reinstall?.reason == null ? null : <p class="reason">{showPlainly(reinstall.reason)}</p>}
      </div>
    </div>
  );
}
