/** Starts a machine from the network: the way into a reimage from outside. */
import { ReimageError } from "../../../errors.ts";
import type { PowerAdapter, PowerVariables } from "./adapter.ts";
import { type PowerOptions, type PowerResult, requireCommand, runPower } from "./run.ts";

/**
 * Sets the next boot to the network, and then resets the machine, or turns it on where it is off. Its power is not touched
 * where the boot device could not be set: it would come up in the old OS, or in nothing.
 * @throws ReimageError (code `power`) that says which of the two failed and what has been done by then.
 */
export async function bootFromNetwork(
  adapter: PowerAdapter,
  variables: PowerVariables,
  options: PowerOptions = {},
): Promise<PowerResult> {
  requireCommand(adapter, "reset", variables); // before anything is set
  try {
    await runPower(adapter, "next-boot-network", variables, options);
  } catch (cause) {
    const message = `${variables.machine}: the next boot could not be set to the network; its power was not touched`;
    throw new ReimageError("power", message, { cause, hint: "the machine goes on as before: try again" });
  }
  try {
    return await runPower(adapter, "reset", variables, options);
  } catch (cause) {
    const message = `${variables.machine}: its next boot is set to the network, but it could not be reset or turned on`;
    throw new ReimageError("power", message, {
      cause,
      hint: "reset it by hand: whenever it starts next, it boots from the network",
    });
  }
}
