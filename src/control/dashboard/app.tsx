/** Who is there: nobody yet, somebody to log in, or somebody to show the fleet to. */
import { useCallback, useEffect, useState } from "preact/hooks";
import { type ApiFailure, asFailure, ask } from "./api.ts";
import { FleetPage } from "./fleet/fleet-page.tsx";
import { Login } from "./login.tsx";
import { FailureNote } from "./parts/failure.tsx";
import type { Session } from "./parts/session.ts";

type Who =
  | { readonly is: "unknown"; readonly failure: ApiFailure | null }
  | { readonly is: "nobody"; readonly note: string | null }
  | { readonly is: "somebody"; readonly session: Session };

const RETRY_MS = 3000;

export function App() {
  const [who, setWho] = useState<Who>({ is: "unknown", failure: null });

  const look = useCallback(async () => {
    try {
      setWho({ is: "somebody", session: await ask<Session>("/session") });
    } catch (error) {
      const failure = asFailure(error);
      setWho(failure.status === 401 ? { is: "nobody", note: null } : { is: "unknown", failure });
    }
  }, []);

  useEffect(() => {
    if (who.is !== "unknown") return;
    if (who.failure === null) return void look();
    const timer = setTimeout(look, RETRY_MS);
    return () => clearTimeout(timer);
  }, [who, look]);

  const leave = useCallback(async () => {
    try {
      await ask("/session", { method: "DELETE" });
      setWho({ is: "nobody", note: null });
    } catch (error) {
      setWho({ is: "nobody", note: `the endpoint may still hold the session: ${asFailure(error).message}` });
    }
  }, []);
  const expire = useCallback(() => setWho({ is: "nobody", note: "The session has ended: log in again." }), []);

  if (who.is === "nobody") {
    return <Login note={who.note} onSession={(session) => setWho({ is: "somebody", session })} />;
  }
  if (who.is === "somebody") return <FleetPage session={who.session} onLeave={leave} onExpire={expire} />;
  return <main class="alone">{who.failure === null ? null : <FailureNote failure={who.failure} />}</main>;
}
