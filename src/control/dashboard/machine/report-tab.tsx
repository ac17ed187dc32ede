/** report.json, in words and as it was sent. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { formatBytes, formatDuration } from "../../../report/format.ts";
import type { WireReport } from "../../protocol/run.ts";
import { showPlainly, textOf } from "../../view/plain-text.ts";
import { FailureNote } from "../parts/failure.tsx";
import { ConditionIcon } from "../parts/icons.tsx";
import { useAnswer } from "../parts/use-answer.ts";

interface Props {
  readonly runId: string | null;
  readonly version: string;
}

export function ReportTab({ runId, version }: Props) {
  const { answer, failure } = useAnswer<WireReport>(runId === null ? null : `/runs/${runId}/report`, version);
  const [isRaw, setRaw] = useState(false);
  if (failure?.status === 404 || runId === null)
    return <p class="empty">The run has sent no report. It does when it ends.</p>;
  if (failure !== null) return <FailureNote failure={failure} />;
  if (answer === null) return <p class="empty">The report is being loaded.</p>;
  return (
    <div class="report">
      <button type="button" class="quiet raw" aria-pressed={isRaw} onClick={() => setRaw(!isRaw)}>
        report.json
      </button>
      {isRaw ? (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard
        <pre tabIndex={0}>{showPlainly(JSON.stringify(answer, null, 2))}</pre>
      ) : (
        <InWords report={answer} />
      )}
    </div>
  );
}

/** The fields that are no part of the schema which the endpoint decides by may be anything. */
function InWords({ report }: { readonly report: WireReport }) {
  const retained = fieldsOf(report.retained);
  const disk = fieldsOf(report.disk);
  const missing = listOf(retained.missing);
  const failures = listOf(retained.failures);
  const isGood = report.outcome === "success";
  return (
    <>
      <p class={`outcome ${isGood ? "installed" : "failed"}`}>
        <ConditionIcon kind={isGood ? "installed" : "failed"} />
        <b class="word">{isGood ? "Success" : "Failed"}</b>
        <span class="dim">
          {report.stage === null ? "" : `in stage ${showPlainly(report.stage)}, `}disk {report.target}
        </span>
      </p>
      {report.reason === null ? null : <p class="reason">{showPlainly(report.reason)}</p>}
      <dl>
        <Row name="Image">{textOf(report.image?.id)}</Row>
        <Row name="SHA-256">
          <code>{textOf(report.image?.sha256)}</code>
        </Row>
        <Row name="Readback">
          <code>{textOf(report.readback)}</code>
        </Row>
        <Row name="Disk">
          {["path", "model", "serial", "wwn"]
            .map((name) => textOf(disk[name]))
            .filter((text) => text !== "")
            .join(", ")}
          {typeof disk.sizeBytes === "number" ? `, ${formatBytes(disk.sizeBytes)}` : ""}
        </Row>
        <Row name="Retained">
          {typeof retained.count === "number" ? `${retained.count} files` : ""}
          {typeof retained.bytes === "number" ? `, ${formatBytes(retained.bytes)}` : ""}
        </Row>
        <Row name="Missing">{missing.join("\n")}</Row>
        <Row name="Not restored">{failures.join("\n")}</Row>
        <Row name="Times">
          {Object.entries(fieldsOf(report.timings))
            .flatMap(([name, seconds]) =>
              typeof seconds === "number" ? `${showPlainly(name)} ${formatDuration(seconds)}` : [],
            )
            .join(" · ")}
        </Row>
      </dl>
    </>
  );
}

/** Left out where there is nothing to say. */
function Row({ name, children }: { readonly name: string; readonly children: ComponentChildren }) {
  if (isEmpty(children)) return null;
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

function isEmpty(children: ComponentChildren): boolean {
  if (Array.isArray(children)) return children.every(isEmpty);
  if (typeof children === "object" && children !== null && "props" in children) return isEmpty(children.props.children);
  return children === "" || children == null;
}

const fieldsOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null ? { ...value } : {};

const listOf = (value: unknown): string[] =>
  Array.isArray(value)
    ? value.map((each) => (typeof each === "string" ? textOf(each) : textOf(JSON.stringify(each))))
    : [];
