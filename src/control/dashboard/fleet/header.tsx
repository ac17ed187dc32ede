/** The line on top: search, whether what is shown is live, and who is logged in. */
import type { RefObject } from "preact";
import { Mark } from "../parts/icons.tsx";
import { useNow } from "../parts/now.ts";
import type { Session } from "../parts/session.ts";
import type { Connection } from "../stream.ts";
import { formatClock } from "../times.ts";

interface Props {
  readonly session: Session;
  readonly connection: Connection;
  readonly query: string;
  readonly onQuery: (query: string) => void;
  readonly onSearchDone: () => void;
  readonly searchRef: RefObject<HTMLInputElement | null>;
  readonly onLeave: () => void;
}

export function Header({ session, connection, query, onQuery, onSearchDone, searchRef, onLeave }: Props) {
  return (
    <header class="top">
      <h1>
        <Mark /> <span>reimage</span>
      </h1>
      <div class="search">
        <input
          ref={searchRef}
          type="search"
          placeholder="Search by name, MAC, serial, image"
          aria-label="Search machines"
          aria-keyshortcuts="/"
          spellcheck={false}
          value={query}
          onInput={(event) => onQuery(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Escape" && query !== "") onQuery("");
            if (event.key === "Enter" || event.key === "ArrowDown" || (event.key === "Escape" && query === "")) {
              event.preventDefault();
              onSearchDone();
            }
          }}
        />
        <span class="key" aria-hidden="true">
          /
        </span>
      </div>
      <LiveMark connection={connection} />
      <span class="who" title="who is logged in, and as what">
        {session.name} <span class="dim">{session.role}</span>
      </span>
      <a class="button quiet docs" href="api/v1/docs" target="_blank" rel="noreferrer">
        API
      </a>
      <button type="button" class="quiet" onClick={onLeave}>
        Log out
      </button>
    </header>
  );
}

/** `Live`, or since when not: an old picture must not look like a new one. */
function LiveMark({ connection }: { readonly connection: Connection }) {
  useNow(1000);
  if (connection.state !== "lost") {
    return (
      <span class={`live ${connection.state}`} role="status">
        {connection.state === "live" ? "Live" : "Connecting"}
      </span>
    );
  }
  const seconds = Math.max(0, Math.ceil((connection.retryAtMs - Date.now()) / 1000));
  return (
    <span class="live lost">
      <span role="status" title={connection.failure.message}>
        Not live since {formatClock(connection.sinceMs)}
      </span>
      <span class="again">, again in {seconds} s</span>
    </span>
  );
}
