/** What a call of the program's own functions refuses with. */
import { ReimageError } from "../../src/errors.ts";

/** The error with which `call` is refused; throws anything else. */
export async function refusalOf(call: Promise<unknown>): Promise<ReimageError> {
  const thrown = await call.then(
    () => new Error("it was accepted"),
    (error: unknown) => error,
  );
  if (!(thrown instanceof ReimageError)) throw thrown;
  return thrown;
}
