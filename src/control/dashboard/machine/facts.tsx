/** What a machine is: names, addresses, what it runs. */
import type { ComponentChildren } from "preact";
import type { Machine, MachineSummary } from "../../protocol/machine.ts";
import { showPlainly, textOf } from "../../view/plain-text.ts";
import type { ApiFailure } from "../api.ts";
import { FailureNote } from "../parts/failure.tsx";
import { formatAgo, formatTime } from "../times.ts";

interface Props {
  readonly summary: MachineSummary;
  readonly machine: Machine | null;
  readonly failure: ApiFailure | null;
  readonly nowMs: number;
}

export function Facts({ summary, machine, failure, nowMs }: Props) {
  const { id, serial, macs, imageId, configuration, lastSeenAt, reinstall } = summary;
  const shown = (text: string | null | undefined) =>
    text == null || text === "" ? <span class="dim">unknown</span> : showPlainly(text);
  return (
    <>
      {failure === null ? null : <FailureNote failure={failure} />}
      <dl class="facts">
        <Fact name="Id" isWide>
          <code>{id}</code>
        </Fact>
        <Fact name="Image" isWide>
          {shown(imageId)}
          {reinstall === null ? null : <> → {showPlainly(reinstall.imageId)}</>}
        </Fact>
        <Fact name="Disk">{shown(textOf(machine?.bootInfo?.primary_disk))}</Fact>
        <Fact name="Last seen">
          <span title={lastSeenAt === null ? "" : formatTime(lastSeenAt)}>{formatAgo(lastSeenAt, nowMs)}</span>
        </Fact>
        <Fact name="Serial">{shown(serial)}</Fact>
        <Fact name="MAC">{shown(macs.join(", "))}</Fact>
        <Fact name="Next boot">{showPlainly(configuration)}</Fact>
        <Fact name="Address">{shown(machine?.address)}</Fact>
        {machine?.fingerprint == null ? null : (
          <Fact name="Token" isWide>
            fingerprint <code>{machine.fingerprint}</code>
          </Fact>
        )}
      </dl>
    </>
  );
}

interface FactProps {
  readonly name: string;
  readonly isWide?: boolean;
  readonly children: ComponentChildren;
}

function Fact({ name, isWide = false, children }: FactProps) {
  return (
    <div class={isWide ? "wide" : ""}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
