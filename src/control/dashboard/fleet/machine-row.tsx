// biome-ignore-all lint/a11y/useSemanticElements: rows that are placed by hand cannot be a <table>
// biome-ignore-all lint/a11y/useFocusableInteractive: the grid has the focus, and names its active row
/** One machine in the list. */
import type { MachineSummary } from "../../protocol/machine.ts";
import { conditionOf, conditionWords, isBusy, isSilent, progressOf, titleOf } from "../../view/condition.ts";
import { showPlainly } from "../../view/plain-text.ts";
import { ConditionIcon } from "../parts/icons.tsx";
import { formatAgo, formatTime } from "../times.ts";

interface Props {
  readonly machine: MachineSummary;
  readonly rowIndex: number;
  readonly topPx: number;
  readonly nowMs: number;
  readonly isActive: boolean;
  readonly isOpen: boolean;
  readonly isPicked: boolean;
  readonly canPick: boolean;
  readonly onOpen: () => void;
  readonly onPick: () => void;
}

export function MachineRow(props: Props) {
  const { machine, rowIndex, topPx, nowMs, isActive, isOpen, isPicked, canPick, onOpen, onPick } = props;
  const condition = conditionOf(machine);
  const title = titleOf(machine);
  const silent = isSilent(machine, nowMs);
  const image = machine.reinstall?.imageId ?? machine.imageId;
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the keys are the table's, which has the focus
    <div
      id={`row-${machine.id}`}
      class={`line row${isActive ? " active" : ""}${isOpen ? " open" : ""}${isPicked ? " picked" : ""}`}
      role="row"
      aria-rowindex={rowIndex}
      aria-selected={isPicked}
      style={{ transform: `translateY(${topPx}px)` }}
      onClick={onOpen}
    >
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: as above */}
      <span
        class="cell pick"
        role="gridcell"
        onClick={(event) => {
          event.stopPropagation();
          onPick();
        }}
      >
        {canPick ? <span class={isPicked ? "box checked" : "box"} aria-hidden="true" /> : null}
      </span>
      <span class="cell machine" role="gridcell" title={machine.id}>
        <b>{showPlainly(title)}</b>{" "}
        <span class="dim">
          {machine.name === null ? machine.macs[0] : (machine.serial && showPlainly(machine.serial)) || machine.macs[0]}
        </span>
        {machine.locked ? <span class="tag">locked</span> : null}
      </span>
      <span class={`cell state ${condition}`} role="gridcell">
        <ConditionIcon kind={silent ? "silent" : condition} />
        <span class="word">{conditionWords[condition].word}</span> <span class="dim">{remarkOf(machine, silent)}</span>
      </span>
      <span class={`cell progress ${condition}`} role="gridcell">
        <Progress machine={machine} />
      </span>
      <span class="cell image" role="gridcell" title={image ?? ""}>
        {image === null ? <span class="dim">unknown</span> : showPlainly(image)}
      </span>
      <span class="cell configuration" role="gridcell">
        <span class={machine.configuration === "local" ? "dim" : ""}>{showPlainly(machine.configuration)}</span>
      </span>
      <span
        class="cell seen dim"
        role="gridcell"
        title={machine.lastSeenAt === null ? "" : formatTime(machine.lastSeenAt)}
      >
        {formatAgo(machine.lastSeenAt, nowMs)}
      </span>
    </div>
  );
}

function remarkOf(machine: MachineSummary, silent: boolean): string {
  if (silent) return "silent";
  const { reinstall, run } = machine;
  if (run?.what != null && isBusy(conditionOf(machine))) return showPlainly(run.what);
  if (reinstall !== null && reinstall.attempt > 1) return `attempt ${reinstall.attempt}`;
  return reinstall?.reason == null ? "" : showPlainly(reinstall.reason);
}

function Progress({ machine }: { readonly machine: MachineSummary }) {
  const done = progressOf(machine);
  if (done === null) return null;
  const percent = Math.floor(done * 100);
  return (
    <>
      <span class="track">
        <span style={{ transform: `scaleX(${done})` }} />
      </span>
      <span class="percent">{percent} %</span>
    </>
  );
}
