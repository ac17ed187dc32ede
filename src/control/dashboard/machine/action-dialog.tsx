/** The dialogs of what an operator can do: what it means, for which machines, and the question. */
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import type { MachineSummary } from "../../protocol/machine.ts";
import { ask } from "../api.ts";
import { type ActionKind, targetOf, whyNot } from "./actions.ts";
import { ApproveDialog } from "./approve-dialog.tsx";
import { ConfirmDialog } from "./confirm-dialog.tsx";
import { forEachMachine } from "./for-each-machine.ts";
import { namesOf, Skipped } from "./names.tsx";
import { ReinstallDialog } from "./reinstall-dialog.tsx";

export interface PendingAction {
  readonly kind: ActionKind;
  readonly machines: readonly MachineSummary[];
}

interface Props {
  readonly action: PendingAction;
  /** With what was done in words, or null where nothing was. */
  readonly onDone: (said: string | null) => void;
}

export function ActionDialog({ action, onDone }: Props) {
  const { kind, machines } = action;
  const able = machines.filter((machine) => whyNot(kind, machine, targetOf(machine)) === null);
  const [first] = able;
  if (first === undefined) return <Impossible action={action} onDone={onDone} />;
  const skipped = machines.length - able.length;
  switch (kind) {
    case "reinstall":
      return <ReinstallDialog machines={able} skipped={skipped} onDone={onDone} />;
    case "approve":
      return <ApproveDialog machine={first} onDone={onDone} />;
    default:
      return <PlainDialog kind={kind} machines={able} skipped={skipped} onDone={onDone} />;
  }
}

interface Plain {
  readonly title: (names: string) => string;
  readonly text: ComponentChildren;
  readonly confirm: string;
  readonly said: (names: string) => string;
  readonly perform: (machine: MachineSummary) => Promise<unknown>;
}

const post = (machine: MachineSummary, what: string) =>
  ask(`/machines/${machine.id}/${what}`, { method: "POST", body: {} });
const reinstallPath = ({ reinstall }: MachineSummary) => `/reinstalls/${encodeURIComponent(reinstall?.id ?? "")}`;

const plain: Readonly<Record<Exclude<ActionKind, "reinstall" | "approve">, Plain>> = {
  cancel: {
    title: (names) => `Cancel the reinstallation of ${names}?`,
    text: "Nothing has been written to the disk: the machine keeps its system, and boots it. Where a run begins in this moment, the endpoint refuses.",
    confirm: "Cancel the reinstallation",
    said: (names) => `The reinstallation of ${names} is cancelled.`,
    perform: (machine) => ask(reinstallPath(machine), { method: "DELETE" }),
  },
  "boot-local": {
    title: (names) => `Boot ${names} from the disk?`,
    text: "From its next network boot on, the machine starts what is on its disk. Nothing is written, and nothing that runs is interrupted.",
    confirm: "Boot from the disk",
    said: (names) => `${names}: the next boot is from the disk.`,
    perform: (machine) => post(machine, "boot-local"),
  },
  retry: {
    title: (names) => `Try ${names} again?`,
    text: "The attempts are counted from the beginning. The disk is overwritten with the same image at the machine's next network boot.",
    confirm: "Try again",
    said: (names) => `${names}: the reinstallation is requested again.`,
    perform: (machine) => ask(`${reinstallPath(machine)}/retry`, { method: "POST", body: {} }),
  },
};

interface PlainProps {
  readonly kind: keyof typeof plain;
  readonly machines: readonly MachineSummary[];
  readonly skipped: number;
  readonly onDone: Props["onDone"];
}

function PlainDialog({ kind, machines, skipped, onDone }: PlainProps) {
  const done = useRef(new Set<string>());
  const { title, text, confirm, said, perform } = plain[kind];
  const names = namesOf(machines);
  return (
    <ConfirmDialog
      title={title(names)}
      confirmLabel={confirm}
      onCancel={() => onDone(null)}
      onConfirm={async () => {
        await forEachMachine(machines, done.current, perform);
        onDone(said(names));
      }}
    >
      <p>{text}</p>
      <Skipped count={skipped} />
    </ConfirmDialog>
  );
}

function Impossible({ action, onDone }: Props) {
  const [first] = action.machines;
  const reason = first === undefined ? "No machine is selected." : whyNot(action.kind, first, targetOf(first));
  return (
    <ConfirmDialog
      title="This does not apply"
      confirmLabel="Close"
      onCancel={() => onDone(null)}
      onConfirm={async () => onDone(null)}
    >
      <p>{action.machines.length > 1 ? "None of the selected machines is in a state for it." : reason}</p>
    </ConfirmDialog>
  );
}
