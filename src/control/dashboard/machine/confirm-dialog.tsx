/** Asks before something is done, and shows what the endpoint says where it is refused. */
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { type ApiFailure, asFailure } from "../api.ts";
import { FailureNote } from "../parts/failure.tsx";

interface Props {
  readonly title: string;
  readonly confirmLabel: string;
  readonly isDangerous?: boolean;
  /** Null: it may be confirmed. Else what is still missing. */
  readonly missing?: string | null;
  readonly onConfirm: () => Promise<void>;
  readonly onCancel: () => void;
  readonly children: ComponentChildren;
}

export function ConfirmDialog(props: Props) {
  const { title, confirmLabel, isDangerous = false, missing = null, onConfirm, onCancel, children } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  const [failure, setFailure] = useState<ApiFailure | null>(null);
  const [isBusy, setBusy] = useState(false);

  useLayoutEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close(); // gives the focus back to where it came from
  }, []);

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    if (isBusy || missing !== null) return;
    setBusy(true);
    setFailure(null);
    try {
      await onConfirm();
    } catch (error) {
      setFailure(asFailure(error));
    }
    setBusy(false);
  }

  return (
    <dialog
      ref={dialog}
      aria-labelledby="dialog-title"
      onCancel={(event) => {
        event.preventDefault();
        onCancel();
      }}
    >
      <form onSubmit={submit}>
        <h2 id="dialog-title">{title}</h2>
        {children}
        {failure === null ? null : <FailureNote failure={failure} />}
        <div class="answers">
          <span class="dim missing" id="dialog-missing">
            {missing ?? (isBusy ? "The endpoint is being asked." : "")}
          </span>
          <button type="button" onClick={onCancel}>
            Back
          </button>
          <button
            type="submit"
            class={isDangerous ? "primary danger" : "primary"}
            aria-disabled={missing !== null || isBusy}
            aria-describedby="dialog-missing"
          >
            {confirmLabel}
          </button>
        </div>
      </form>
    </dialog>
  );
}
