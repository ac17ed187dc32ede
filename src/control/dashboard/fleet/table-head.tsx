// biome-ignore-all lint/a11y/useSemanticElements: rows that are placed by hand cannot be a <table>
// biome-ignore-all lint/a11y/useFocusableInteractive: the grid has the focus, and names its active row
/** The names of the columns, which sort by them. */
import type { Sort, SortKey } from "./selection.ts";

const columns: readonly { readonly key: SortKey; readonly name: string }[] = [
  { key: "machine", name: "Machine" },
  { key: "state", name: "State" },
  { key: "progress", name: "Progress" },
  { key: "image", name: "Image" },
  { key: "configuration", name: "Next boot" },
  { key: "seen", name: "Last seen" },
];

interface Props {
  readonly sort: Sort;
  readonly onSort: (key: SortKey) => void;
}

export function TableHead({ sort, onSort }: Props) {
  return (
    <div class="head" role="rowgroup">
      <div class="line" role="row" aria-rowindex={1}>
        <span class="cell pick" role="columnheader" aria-label="Selected" />
        {columns.map(({ key, name }) => (
          <span key={key} class={`cell ${key}`} role="columnheader" aria-sort={ariaSort(sort, key)}>
            <button type="button" onClick={() => onSort(key)}>
              {name}
              <span class="arrow" aria-hidden="true">
                {sort.key === key ? (sort.descending ? "▾" : "▴") : ""}
              </span>
            </button>
          </span>
        ))}
      </div>
    </div>
  );
}

function ariaSort(sort: Sort, key: SortKey): "ascending" | "descending" | "none" {
  if (sort.key !== key) return "none";
  return sort.descending ? "descending" : "ascending";
}
