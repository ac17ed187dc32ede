/** The answer to a GET, asked again whenever `version` changes; the old answer stays until the new one is there. */
import { useEffect, useState } from "preact/hooks";
import { type ApiFailure, asFailure, ask } from "../api.ts";

export interface Answer<Type> {
  readonly answer: Type | null;
  readonly failure: ApiFailure | null;
}

/** `path` null: nothing is asked. */
export function useAnswer<Type>(path: string | null, version: string): Answer<Type> {
  const [held, setHeld] = useState<Answer<Type> & { readonly path: string | null }>({
    path,
    answer: null,
    failure: null,
  });
  useEffect(() => {
    if (path === null) return;
    const stop = new AbortController();
    ask<Type>(path, { signal: stop.signal }).then(
      (answer) => setHeld({ path, answer, failure: null }),
      (error) => {
        if (stop.signal.aborted) return;
        setHeld((before) => ({ path, answer: before.path === path ? before.answer : null, failure: asFailure(error) }));
      },
    );
    return () => stop.abort();
  }, [path, version]);
  return held.path === path ? held : { answer: null, failure: null };
}
