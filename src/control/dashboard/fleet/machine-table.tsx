// biome-ignore-all lint/a11y/useSemanticElements: rows that are placed by hand cannot be a <table>
// biome-ignore-all lint/a11y/useFocusableInteractive: the grid has the focus, and names its active row
/**
 * The list of machines. Only the rows in sight are in the document. The focus is on the table itself and names the active row
 * (aria-activedescendant), so it cannot get lost when rows come, go or move.
 */
import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import type { Fleet } from "./fleet.ts";
import { MachineRow } from "./machine-row.tsx";
import { useRowHeight } from "./row-height.ts";
import type { Sort, SortKey } from "./selection.ts";
import { TableHead } from "./table-head.tsx";
import { windowOf } from "./window.ts";

interface Props {
  readonly gridRef: RefObject<HTMLDivElement | null>;
  readonly fleet: Fleet;
  readonly ids: readonly string[];
  readonly nowMs: number;
  readonly openId: string | null;
  readonly picked: ReadonlySet<string>;
  readonly canPick: boolean;
  readonly sort: Sort;
  readonly emptyText: string;
  readonly onSort: (sort: Sort) => void;
  readonly onOpen: (id: string) => void;
  readonly onPick: (picked: ReadonlySet<string>) => void;
}

export function MachineTable(props: Props) {
  const { gridRef, fleet, ids, nowMs, openId, picked, canPick, sort, emptyText, onSort, onOpen, onPick } = props;
  const { rowPx, headPx } = useRowHeight();
  const [sight, setSight] = useState({ topPx: 0, heightPx: 800 });
  const [active, setActive] = useState({ id: openId, index: 0 });

  // The active row is a machine, wherever it moves to; where it has gone, the row that took its place.
  const found = active.id === null ? -1 : ids.indexOf(active.id);
  const index = found >= 0 ? found : Math.min(Math.max(0, active.index), ids.length - 1);
  const activeId = ids[index] ?? null;
  useEffect(() => {
    if (activeId !== active.id || index !== active.index) setActive({ id: activeId, index });
  }, [activeId, index, active]);

  useLayoutEffect(() => {
    const grid = gridRef.current;
    if (grid === null) return;
    const look = () => setSight({ topPx: grid.scrollTop, heightPx: grid.clientHeight });
    const observer = new ResizeObserver(look);
    observer.observe(grid);
    grid.addEventListener("scroll", look, { passive: true });
    return () => {
      observer.disconnect();
      grid.removeEventListener("scroll", look);
    };
  }, [gridRef]);

  function goTo(to: number): void {
    const grid = gridRef.current;
    const next = Math.max(0, Math.min(ids.length - 1, to));
    const id = ids[next];
    if (grid === null || id === undefined) return;
    setActive({ id, index: next });
    const topPx = next * rowPx;
    const inSightPx = grid.clientHeight - headPx;
    if (topPx < grid.scrollTop) grid.scrollTop = topPx;
    if (topPx + rowPx > grid.scrollTop + inSightPx) grid.scrollTop = topPx + rowPx - inSightPx;
  }

  function pick(id: string): void {
    if (!canPick) return;
    const next = new Set(picked);
    if (!next.delete(id)) next.add(id);
    onPick(next);
  }

  function onKeyDown(event: KeyboardEvent): void {
    if (event.target !== event.currentTarget || activeId === null) return;
    const page = Math.max(1, Math.floor((sight.heightPx - headPx) / rowPx) - 1);
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page };
    const step = steps[event.key];
    if (step !== undefined) goTo(index + step);
    else if (event.key === "Home") goTo(0);
    else if (event.key === "End") goTo(ids.length - 1);
    else if (event.key === "Enter") onOpen(activeId);
    else if (event.key === " ") pick(activeId);
    else if (event.key === "a" && (event.ctrlKey || event.metaKey) && canPick) onPick(new Set(ids));
    else return;
    event.preventDefault();
  }

  return (
    <div
      ref={gridRef}
      class="grid"
      role="grid"
      tabIndex={0}
      aria-label="Machines"
      aria-rowcount={ids.length + 1}
      aria-multiselectable={canPick}
      aria-activedescendant={activeId === null ? undefined : `row-${activeId}`}
      onKeyDown={onKeyDown}
    >
      <TableHead sort={sort} onSort={(key: SortKey) => onSort(turned(sort, key))} />
      <div class="rows" role="rowgroup" style={{ height: `${ids.length * rowPx}px` }}>
        {windowOf(ids.length, rowPx, sight, index).map((at) => {
          const machine = fleet.machines.get(ids[at] ?? "");
          if (machine === undefined) return null;
          return (
            <MachineRow
              key={machine.id}
              machine={machine}
              rowIndex={at + 2}
              topPx={at * rowPx}
              nowMs={nowMs}
              isActive={at === index}
              isOpen={machine.id === openId}
              isPicked={picked.has(machine.id)}
              canPick={canPick}
              onOpen={() => {
                goTo(at);
                onOpen(machine.id);
              }}
              onPick={() => pick(machine.id)}
            />
          );
        })}
      </div>
      {ids.length === 0 ? <p class="empty">{emptyText}</p> : null}
    </div>
  );
}

/** Choosing a column again turns its order around. */
const turned = (sort: Sort, key: SortKey): Sort => ({ key, descending: sort.key === key && !sort.descending });
