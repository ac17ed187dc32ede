/** Asks before something happens that cannot be taken back. */
import { createInterface } from "node:readline/promises";
import { showPlainly } from "../../control/view/plain-text.ts";
import { ReimageError } from "../../errors.ts";

/** @throws ReimageError `usage` where nobody can be asked; `aborted` for every answer but yes. */
export async function askForYes(what: string): Promise<void> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new ReimageError("usage", `${showPlainly(what)} This needs --yes where no terminal is there to ask on`);
  }
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  const ended = new Promise<string>((resolve) => asking.once("close", () => resolve("")));
  const answer = await Promise.race([asking.question(`${showPlainly(what)} Type yes to go on: `), ended]);
  asking.close();
  if (answer.trim().toLowerCase() !== "yes") throw new ReimageError("aborted", "nothing was done");
}
