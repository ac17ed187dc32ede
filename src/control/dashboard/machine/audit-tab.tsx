/** Who changed what about this machine. */
import type { AuditEntry } from "../../protocol/audit.ts";
import { showPlainly } from "../../view/plain-text.ts";
import { FailureNote } from "../parts/failure.tsx";
import { useAnswer } from "../parts/use-answer.ts";
import { formatTime } from "../times.ts";

const NEWEST = 200;

interface Props {
  readonly machineId: string;
  readonly version: string;
}

export function AuditTab({ machineId, version }: Props) {
  const { answer, failure } = useAnswer<{ readonly entries: readonly AuditEntry[] }>(
    `/audit?object=machine:${machineId}&limit=${NEWEST}`,
    version,
  );
  if (failure !== null) return <FailureNote failure={failure} />;
  if (answer === null) return <p class="empty">The audit is being loaded.</p>;
  const { entries } = answer;
  return (
    <div class="history">
      {entries.length === 0 ? <p class="empty">Nothing was changed yet.</p> : null}
      <ol>
        {entries.map((entry) => (
          <li key={entry.id}>
            <div>
              <p>
                <b>{showPlainly(entry.action)}</b>
              </p>
              <p class="dim">
                {formatTime(entry.at)} by {showPlainly(entry.actor)}
                {entry.address === null ? "" : ` from ${showPlainly(entry.address)}`}
              </p>
              {Object.keys(entry.detail).length === 0 ? null : (
                <p class="detail">{showPlainly(JSON.stringify(entry.detail))}</p>
              )}
            </div>
          </li>
        ))}
      </ol>
    </div>
  );
}
