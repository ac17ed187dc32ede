/**
 * systemd-boot, which boots the lifeboat, obeys variables of the firmware more than its configuration (systemd: Boot Loader
 * Interface). Another one than the old OS's own loader may have left them there, and nobody sees it until the lifeboat boots.
 */
import { ReimageError } from "../errors.ts";
import { type EfiVariables, vendors } from "../firmware/efi-variables.ts";
import { parseLoaderText } from "../one-shot/loader-variables.ts";

/** A menu for less than that costs time at each start of the lifeboat, and nothing else. */
const MOST_SECONDS = 300;

/** The seconds that a value of LoaderConfigTimeout makes systemd-boot wait in its menu (pure). */
export function menuSeconds(value: string): number {
  if (value === "menu-force" || /^-\d+$/.test(value)) return Number.POSITIVE_INFINITY; // versions before 250 write -1
  return /^\d+$/.test(value) ? Number(value) : 0;
}

/**
 * Refuses a machine whose lifeboat would stand in a menu. LoaderEntryDefault and LoaderEntryOneShot need no such care: an
 * entry that is not there is passed over, and the lifeboat has one entry alone. @throws ReimageError `lifeboat`
 */
export async function requireNoMenu(variables: EfiVariables): Promise<void> {
  for (const name of ["LoaderConfigTimeout", "LoaderConfigTimeoutOneShot"]) {
    const variable = await variables.read(name, vendors.loader);
    if (variable === null) continue;
    const value = parseLoaderText(variable.data);
    if (menuSeconds(value) <= MOST_SECONDS) continue;
    throw new ReimageError("lifeboat", `the firmware variable ${name} is ${value}: the lifeboat would wait in a menu`, {
      hint: 'take it away: `bootctl set-timeout ""` and `bootctl set-timeout-oneshot ""`, or remove its file in efivarfs',
    });
  }
}
