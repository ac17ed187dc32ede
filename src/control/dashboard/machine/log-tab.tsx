/** The log of a run, as it is written. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Run } from "../../protocol/run.ts";
import type { LogLine } from "../../view/log-lines.ts";
import { FailureNote } from "../parts/failure.tsx";
import { formatTime } from "../times.ts";
import type { RunEvents } from "./use-run-events.ts";

/** So many lines are in the document at first, and more with each "Earlier…". */
const PAGE = 500;

interface Props {
  readonly events: RunEvents;
  readonly run: Run | null;
  readonly isNewest: boolean;
}

export function LogTab({ events, run, isNewest }: Props) {
  const { lines, isLoading, failure } = events;
  const [shownCount, setShownCount] = useState(PAGE);
  const box = useRef<HTMLDivElement>(null);
  const [isFollowing, setFollowing] = useState(true);
  const lastSeq = lines.at(-1)?.seq;

  const isEmpty = lines.length === 0;

  // The end stays in sight when lines come, and when what is above takes room from the log.
  useLayoutEffect(() => {
    const element = box.current;
    if (!isFollowing || isEmpty || element === null) return;
    const follow = () => {
      element.scrollTop = element.scrollHeight;
    };
    follow();
    const observer = new ResizeObserver(follow);
    observer.observe(element);
    return () => observer.disconnect();
  }, [lastSeq, isFollowing, isEmpty]);

  if (isEmpty) {
    if (failure !== null) return <FailureNote failure={failure} />;
    return <p class="empty">{isLoading ? "The log is being loaded." : "This machine has told of no run yet."}</p>;
  }
  return (
    <>
      <p class="log-of dim">
        {isNewest ? "The last run" : "An earlier run"}
        {run === null ? "" : `, since ${formatTime(run.startedAt)}`}
        {isFollowing ? null : (
          <button type="button" class="quiet" onClick={() => setFollowing(true)}>
            Follow
          </button>
        )}
      </p>
      <div
        ref={box}
        class="log"
        role="log"
        aria-live="off"
        aria-label="Log of the run"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard
        tabIndex={0}
        onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) =>
          setFollowing(scrollTop + clientHeight >= scrollHeight - 24)
        }
      >
        {lines.length > shownCount ? (
          <button type="button" class="quiet earlier" onClick={() => setShownCount(shownCount + PAGE)}>
            Earlier… ({lines.length - shownCount} lines)
          </button>
        ) : null}
        {lines.slice(-shownCount).map((line) => (
          <Line key={line.seq} line={line} />
        ))}
      </div>
    </>
  );
}

const LONGEST = 600;

function Line({ line }: { readonly line: LogLine }) {
  const [isWhole, setWhole] = useState(false);
  const { kind, time, stage, text } = line;
  const isLong = text.length > LONGEST && !isWhole;
  return (
    <div class={`log-line ${kind}`} title={`event ${line.seq}`}>
      <time>{time}</time>
      <span class="stage">{stage}</span>
      <span class="text" dir="ltr">
        {kind === "warning" ? <b>warning: </b> : null}
        {isLong ? `${text.slice(0, LONGEST)}… ` : text}
        {isLong ? (
          <button type="button" class="quiet" onClick={() => setWhole(true)}>
            {text.length - LONGEST} more characters
          </button>
        ) : null}
      </span>
    </div>
  );
}
