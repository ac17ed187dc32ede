/** A machine that asks for a token is let in by comparing what it shows with what came here. */
import type { Machine, MachineSummary } from "../../protocol/machine.ts";
import { ApiFailure, ask } from "../api.ts";
import { FailureNote } from "../parts/failure.tsx";
import { useAnswer } from "../parts/use-answer.ts";
import { ConfirmDialog } from "./confirm-dialog.tsx";
import { namesOf } from "./names.tsx";

interface Props {
  readonly machine: MachineSummary;
  readonly onDone: (said: string | null) => void;
}

export function ApproveDialog({ machine, onDone }: Props) {
  const { answer, failure } = useAnswer<Machine>(`/machines/${machine.id}`, machine.id);
  const fingerprint = answer?.fingerprint ?? null;
  return (
    <ConfirmDialog
      title={`Let ${namesOf([machine])} in?`}
      confirmLabel="Approve"
      missing={fingerprint === null ? "The fingerprint is being asked for." : null}
      onCancel={() => onDone(null)}
      onConfirm={async () => {
        if (fingerprint === null) throw new ApiFailure(0, { code: "conflict", message: "there is no fingerprint" });
        await ask(`/machines/${machine.id}/approve`, { method: "POST", body: { fingerprint } });
        onDone(`${namesOf([machine])} is approved.`);
      }}
    >
      <p>
        The machine shows the fingerprint of its token on its console. Approve it only where this is the same, character
        by character; else somebody else is asking.
      </p>
      <p class="fingerprint">{fingerprint ?? " "}</p>
      {failure === null ? null : <FailureNote failure={failure} />}
    </ConfirmDialog>
  );
}
