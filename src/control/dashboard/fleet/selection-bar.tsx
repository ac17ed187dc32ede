/** What can be done with several machines at once. */
import type { MachineSummary } from "../../protocol/machine.ts";
import type { PendingAction } from "../machine/action-dialog.tsx";

interface Props {
  readonly machines: readonly MachineSummary[];
  readonly onAct: (action: PendingAction) => void;
  readonly onClear: () => void;
}

export function SelectionBar({ machines, onAct, onClear }: Props) {
  return (
    <div class="selection" role="toolbar" aria-label="Selected machines">
      <b>{machines.length === 1 ? "1 machine" : `${machines.length.toLocaleString("en")} machines`}</b>
      <button type="button" class="danger" onClick={() => onAct({ kind: "reinstall", machines })}>
        Reinstall…
      </button>
      <button type="button" onClick={() => onAct({ kind: "cancel", machines })}>
        Cancel reinstallation…
      </button>
      <button type="button" onClick={() => onAct({ kind: "boot-local", machines })}>
        Boot local…
      </button>
      <button type="button" onClick={() => onAct({ kind: "retry", machines })}>
        Retry…
      </button>
      <button type="button" class="quiet" onClick={onClear}>
        Clear
      </button>
    </div>
  );
}
