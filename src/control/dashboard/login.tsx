/** A token for a session. The token is in the field and in one request, and nowhere else. */
import { useEffect, useRef, useState } from "preact/hooks";
import { type ApiFailure, asFailure, ask } from "./api.ts";
import { FailureNote } from "./parts/failure.tsx";
import { Mark } from "./parts/icons.tsx";
import type { Session } from "./parts/session.ts";

interface Props {
  readonly note: string | null;
  readonly onSession: (session: Session) => void;
}

export function Login({ note, onSession }: Props) {
  const field = useRef<HTMLInputElement>(null);
  const [failure, setFailure] = useState<ApiFailure | null>(null);
  const [isAsking, setAsking] = useState(false);
  useEffect(() => field.current?.focus(), []);

  async function logIn(event: Event): Promise<void> {
    event.preventDefault();
    const token = field.current?.value.trim() ?? "";
    if (isAsking || token === "") return;
    setAsking(true);
    try {
      await ask("/session", { method: "POST", body: { token } });
      onSession(await ask<Session>("/session"));
    } catch (error) {
      setFailure(asFailure(error));
      setAsking(false);
      field.current?.select();
    }
  }

  return (
    <main class="alone">
      <form class="login" onSubmit={logIn}>
        <h1>
          <Mark /> reimage
        </h1>
        {note === null ? null : <p class="note">{note}</p>}
        <label for="token">Token</label>
        <input
          id="token"
          ref={field}
          type="password"
          autocomplete="current-password"
          spellcheck={false}
          required
          aria-describedby="token-help"
          aria-invalid={failure !== null}
        />
        <p id="token-help" class="dim">
          A viewer sees everything and changes nothing; an operator may reinstall.
        </p>
        {failure === null ? null : <FailureNote failure={failure} />}
        <button type="submit" class="primary" aria-disabled={isAsking}>
          Log in
        </button>
      </form>
    </main>
  );
}
