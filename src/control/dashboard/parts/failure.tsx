/** What went wrong, and what to do: as the endpoint says it. */

import { showPlainly } from "../../view/plain-text.ts";
import type { ApiFailure } from "../api.ts";
import { ConditionIcon } from "./icons.tsx";

const sentence = (text: string) => (/[.!?]$/.test(text) ? text : `${text}.`);

export function FailureNote({ failure }: { readonly failure: ApiFailure }) {
  return (
    <div class="failure" role="alert">
      <ConditionIcon kind="unproven" />
      <p>
        {showPlainly(sentence(failure.message))}
        {failure.hint === null ? null : <span class="hint"> {showPlainly(sentence(failure.hint))}</span>}
      </p>
    </div>
  );
}
