/** The fleet as it is now: loaded whole at each connection, then kept current by the stream. */
import { useEffect, useState } from "preact/hooks";
import type { MachinesChanged } from "../../protocol/feed.ts";
import type { MachineSummary } from "../../protocol/machine.ts";
import { ask } from "../api.ts";
import { type Connection, watch } from "../stream.ts";
import { applyChange, emptyFleet, type Fleet, fleetOf } from "./fleet.ts";

const PAGE = 10_000;

export interface LiveFleet {
  readonly fleet: Fleet;
  readonly connection: Connection;
  /** Whether the list was loaded at least once. */
  readonly isLoaded: boolean;
}

export function useFleet(): LiveFleet {
  const [live, setLive] = useState<LiveFleet>({
    fleet: emptyFleet,
    connection: { state: "connecting" },
    isLoaded: false,
  });
  useEffect(
    () =>
      watch({
        path: "/stream",
        onConnection: (connection) => setLive((before) => ({ ...before, connection })),
        // While `hello` is being answered with the whole list, what changes in the meantime waits in the stream.
        onMessage: async ({ event, data }) => {
          if (event === "hello") {
            const fleet = fleetOf(await loadMachines());
            setLive((before) => ({ ...before, fleet, isLoaded: true }));
          }
          if (event === "machines") {
            const changed = JSON.parse(data) as MachinesChanged;
            setLive((before) => ({ ...before, fleet: applyChange(before.fleet, changed) }));
          }
        },
      }),
    [],
  );
  return live;
}

async function loadMachines(): Promise<MachineSummary[]> {
  const all: MachineSummary[] = [];
  let after: string | null = null;
  do {
    const from: string = after === null ? "" : `&after=${encodeURIComponent(after)}`;
    const page: { machines: MachineSummary[]; next: string | null } = await ask(`/machines?limit=${PAGE}${from}`);
    all.push(...page.machines);
    after = page.next;
  } while (after !== null);
  return all;
}
