/** The fleet at a glance, and one machine beside it. */
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ActionDialog, type PendingAction } from "../machine/action-dialog.tsx";
import { MachinePanel } from "../machine/machine-panel.tsx";
import { useNow } from "../parts/now.ts";
import type { Session } from "../parts/session.ts";
import { Header } from "./header.tsx";
import { MachineTable } from "./machine-table.tsx";
import { type Filter, type Sort, viewOf } from "./selection.ts";
import { SelectionBar } from "./selection-bar.tsx";
import { StateFilters } from "./state-filters.tsx";
import { useFleet } from "./use-fleet.ts";

const SAID_MS = 8000;

interface Props {
  readonly session: Session;
  readonly onLeave: () => void;
  readonly onExpire: () => void;
}

export function FleetPage({ session, onLeave, onExpire }: Props) {
  const { fleet, connection, isLoaded } = useFleet();
  const nowMs = useNow(1000);
  const [filter, setFilter] = useState<Filter>("all");
  const [query, setQuery] = useState("");
  const [sort, setSort] = useState<Sort>({ key: "machine", descending: false });
  const [openId, setOpenId] = useState(() => idOfAddress());
  const [picked, setPicked] = useState<ReadonlySet<string>>(new Set());
  const [action, setAction] = useState<PendingAction | null>(null);
  const [said, setSaid] = useState("");
  const search = useRef<HTMLInputElement>(null);
  const table = useRef<HTMLDivElement>(null);

  const coarseNowMs = nowMs - (nowMs % 5000); // silence is counted in minutes: no need to count 5,000 machines each second
  const view = useMemo(
    () => viewOf(fleet, { filter, query, sort, nowMs: coarseNowMs }),
    [fleet, filter, query, sort, coarseNowMs],
  );
  const isExpired = connection.state === "lost" && connection.failure.status === 401;
  useEffect(() => {
    if (isExpired) onExpire();
  }, [isExpired, onExpire]);

  const open = useCallback((id: string | null) => {
    setOpenId(id);
    history.replaceState(null, "", id === null ? location.pathname : `#${id}`);
    if (id === null) table.current?.focus();
  }, []);

  useEffect(() => {
    function onKey(event: KeyboardEvent): void {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isInDialog(event)) return;
      if (event.key === "/" && !isTyping(event)) {
        event.preventDefault();
        search.current?.select();
        search.current?.focus();
      }
      if (event.key === "Escape" && !isTyping(event)) {
        if (openId !== null) open(null);
        else setPicked(new Set());
      }
    }
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [openId, open]);

  useEffect(() => {
    if (said === "") return;
    const timer = setTimeout(() => setSaid(""), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);

  const machine = openId === null ? undefined : fleet.machines.get(openId);
  const mayAct = session.role !== "viewer";
  const pickedMachines = [...picked].flatMap((id) => fleet.machines.get(id) ?? []);

  return (
    <div class={machine === undefined ? "page" : "page with-panel"}>
      <Header
        session={session}
        connection={connection}
        query={query}
        onQuery={setQuery}
        onSearchDone={() => table.current?.focus()}
        searchRef={search}
        onLeave={onLeave}
      />
      <StateFilters counts={view.counts} filter={filter} onFilter={setFilter} />
      <main class="fleet">
        <MachineTable
          gridRef={table}
          fleet={fleet}
          ids={view.ids}
          nowMs={nowMs}
          openId={openId}
          picked={picked}
          canPick={mayAct}
          sort={sort}
          emptyText={emptyText(isLoaded, fleet.machines.size)}
          onSort={setSort}
          onOpen={open}
          onPick={setPicked}
        />
        {mayAct && pickedMachines.length > 0 ? (
          <SelectionBar machines={pickedMachines} onAct={setAction} onClear={() => setPicked(new Set())} />
        ) : null}
      </main>
      {machine === undefined ? null : (
        <MachinePanel
          key={machine.id}
          summary={machine}
          isLive={connection.state === "live"}
          mayAct={mayAct}
          nowMs={nowMs}
          onAct={setAction}
          onClose={() => open(null)}
        />
      )}
      {action === null ? null : (
        <ActionDialog
          action={action}
          onDone={(text) => {
            setAction(null);
            if (text !== null) setSaid(text);
          }}
        />
      )}
      <p class="said" role="status">
        {said}
      </p>
    </div>
  );
}

function emptyText(isLoaded: boolean, count: number): string {
  if (!isLoaded) return "The list of machines is being loaded.";
  return count === 0
    ? "No machine is known yet. A machine appears when it enrols, or when it is declared: reimage serve --hosts."
    : "No machine matches. Clear the search, or choose another state.";
}

/** The machine that the address names, so that a link to a machine can be passed on. */
const idOfAddress = () => (/^#[0-9a-f-]{36}$/.test(location.hash) ? location.hash.slice(1) : null);

function isTyping({ target }: Event): boolean {
  return target instanceof HTMLElement && target.matches("input, textarea, select");
}

const isInDialog = ({ target }: Event) => target instanceof Element && target.closest("dialog") !== null;
