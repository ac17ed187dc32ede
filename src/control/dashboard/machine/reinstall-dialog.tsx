/** Asks which image, says what is lost, and wants the machine's name typed. */
import { useMemo, useRef, useState } from "preact/hooks";
import type { Image } from "../../protocol/image.ts";
import type { Machine, MachineSummary } from "../../protocol/machine.ts";
import { titleOf } from "../../view/condition.ts";
import { showPlainly, textOf } from "../../view/plain-text.ts";
import { ask, newKey } from "../api.ts";
import { FailureNote } from "../parts/failure.tsx";
import { useAnswer } from "../parts/use-answer.ts";
import { ConfirmDialog } from "./confirm-dialog.tsx";
import { forEachMachine } from "./for-each-machine.ts";
import { namesOf, Skipped } from "./names.tsx";

interface Props {
  readonly machines: readonly MachineSummary[];
  readonly skipped: number;
  readonly onDone: (said: string | null) => void;
}

export function ReinstallDialog({ machines, skipped, onDone }: Props) {
  const [first] = machines;
  const only = machines.length === 1 && first !== undefined ? first : null;
  const images = useAnswer<{ readonly images: readonly Image[] }>("/images", "");
  const details = useAnswer<Machine>(only === null ? null : `/machines/${only.id}`, "");
  const [imageId, setImageId] = useState("");
  const [typed, setTyped] = useState("");
  const [isPowerCycled, setPowerCycled] = useState(false);
  const done = useRef(new Set<string>());
  // One key for one decision: sent again after an answer was lost, it is the same request.
  const key = useMemo(() => newKey(), [imageId, isPowerCycled]);

  const word = only === null ? `reinstall ${machines.length}` : (only.name ?? only.id);
  const known = images.answer?.images ?? [];
  const chosen = known.find(({ id }) => id === imageId);
  const isTyped = typed.trim() === word;
  const missing = imageId === "" ? "Choose an image." : isTyped ? null : `Type ${word} to confirm.`;

  async function request(): Promise<void> {
    await forEachMachine(machines, done.current, ({ id }) =>
      ask(`/machines/${id}/reinstalls`, {
        method: "POST",
        idempotencyKey: key,
        body: { imageId, powerCycle: isPowerCycled },
      }),
    );
    onDone(`The reinstallation of ${namesOf(machines)} is requested.`);
  }

  return (
    <ConfirmDialog
      title={`Reinstall ${namesOf(machines)}`}
      confirmLabel="Destroy and reinstall"
      isDangerous
      missing={missing}
      onConfirm={request}
      onCancel={() => onDone(null)}
    >
      <label for="image">Image</label>
      <select id="image" autofocus value={imageId} onChange={(event) => setImageId(event.currentTarget.value)}>
        <option value="">{images.answer !== null && known.length === 0 ? "no image is known" : "choose…"}</option>
        {known.map(({ id }) => (
          <option key={id} value={id}>
            {showPlainly(id)}
          </option>
        ))}
      </select>
      <p class="dim about-image">{chosen === undefined ? " " : showPlainly(chosen.description || chosen.url || " ")}</p>
      {images.failure === null ? null : <FailureNote failure={images.failure} />}

      <div class="destroyed">
        <p>
          <b>Every byte of {only === null ? "their target disks" : "its target disk"} is overwritten</b>: partition
          table, boot loader, all file systems, all data. Only what the retention list names comes back.
        </p>
        {only === null ? <MachineNames machines={machines} /> : <WhatIsThere summary={only} machine={details.answer} />}
      </div>
      <Skipped count={skipped} />
      {details.answer?.power == null ? null : (
        <label class="check">
          <input
            type="checkbox"
            checked={isPowerCycled}
            onChange={(event) => setPowerCycled(event.currentTarget.checked)}
          />
          Restart it now, from the network
        </label>
      )}
      <label for="typed">
        Type <code>{showPlainly(word)}</code> to confirm
      </label>
      <input
        id="typed"
        value={typed}
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        onInput={(event) => setTyped(event.currentTarget.value)}
      />
    </ConfirmDialog>
  );
}

const MOST_NAMES = 12;

function MachineNames({ machines }: { readonly machines: readonly MachineSummary[] }) {
  const names = machines.slice(0, MOST_NAMES).map((machine) => showPlainly(titleOf(machine)));
  const more = machines.length - names.length;
  return <p class="names">{names.join(", ") + (more > 0 ? ` and ${more} more` : "")}</p>;
}

/** As far as the machine has told it. */
function WhatIsThere({ summary, machine }: { readonly summary: MachineSummary; readonly machine: Machine | null }) {
  const disk = textOf(machine?.bootInfo?.primary_disk);
  return (
    <dl>
      <dt>Disk</dt>
      <dd>{disk === "" ? "not told; the machine finds it by its own configuration" : disk}</dd>
      <dt>Now on it</dt>
      <dd>{summary.imageId === null ? "unknown" : showPlainly(summary.imageId)}</dd>
      <dt>Machine</dt>
      <dd>
        {summary.id}
        {summary.serial === null ? "" : `, serial ${showPlainly(summary.serial)}`}
      </dd>
    </dl>
  );
}
