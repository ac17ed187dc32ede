/** What can be done with this machine; and why the rest cannot be done, where the keyboard reaches it too. */
import type { MachineSummary } from "../../protocol/machine.ts";
import type { Reinstall } from "../../protocol/reinstall.ts";
import type { PendingAction } from "./action-dialog.tsx";
import { type ActionKind, actionWords, targetOf, whyNot } from "./actions.ts";

interface Props {
  readonly summary: MachineSummary;
  /** The newest reinstallation: it knows the worst of all its attempts. */
  readonly open: Reinstall | null;
  readonly onAct: (action: PendingAction) => void;
}

export function ActionButtons({ summary, open, onAct }: Props) {
  const { state, reinstall } = summary;
  const target = open !== null && open.id === reinstall?.id ? open.target : targetOf(summary);
  const kinds: ActionKind[] = [
    ...(state === "discovered" ? (["approve"] as const) : []),
    ...(reinstall?.state === "parked" ? (["retry"] as const) : []),
    "reinstall",
    ...(reinstall === null ? [] : (["cancel"] as const)),
    "boot-local",
  ];
  const reasons = kinds.flatMap((kind) => {
    const reason = whyNot(kind, summary, target);
    return reason === null ? [] : [{ kind, reason }];
  });
  return (
    <div class="actions">
      <div class="buttons">
        {kinds.map((kind) => {
          const reason = whyNot(kind, summary, target);
          return (
            <button
              key={kind}
              type="button"
              class={kind === "reinstall" ? "danger" : kind === "approve" || kind === "retry" ? "primary" : ""}
              aria-disabled={reason !== null}
              aria-describedby={reason === null ? undefined : `why-not-${kind}`}
              title={reason ?? undefined}
              onClick={() => {
                if (reason === null) onAct({ kind, machines: [summary] });
              }}
            >
              {actionWords[kind]}
            </button>
          );
        })}
      </div>
      <ul class="reasons dim">
        {reasons.map(({ kind, reason }) => (
          <li key={kind} id={`why-not-${kind}`}>
            {actionWords[kind].replace("…", "")}: {reason}
          </li>
        ))}
      </ul>
    </div>
  );
}
