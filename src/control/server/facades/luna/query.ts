/** What Luna's nodes ask, taken apart (pure). */
import { ReimageError } from "../../../../errors.ts";
import { normalizeMac } from "../../../protocol/identity.ts";

const MOST_FIELDS = 64;
const NOBODYS = "00:00:00:00:00:00";
const EVERYBODYS = "ff:ff:ff:ff:ff:ff";

/**
 * The MACs in `hwdata`: the asset tag and the address of every card, joined by `|`. Firmware tells all sorts of things in
 * their place. What is no MAC, or nobody's, is passed over; so is one without separators: asset tags may look like that.
 */
export function macsOfHwdata(hwdata: string): string[] {
  const fields = hwdata.split("|", MOST_FIELDS).map((field) => field.trim());
  const macs = fields.filter((field) => /[:-]/.test(field)).map(normalizeMac);
  const named = macs.filter((mac) => mac !== null);
  return [...new Set(named)].filter((mac) => mac !== NOBODYS && mac !== EVERYBODYS);
}

/** @throws ReimageError `invalid` for what is no status word. */
export function parseStatusWord(text: string): string {
  if (/^[ a-zA-Z0-9._-]{1,128}$/.test(text)) return text;
  throw new ReimageError("invalid", "a status word consists of letters, digits, spaces and . _ - (128 at most)");
}
