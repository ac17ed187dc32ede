/** What Luna's nodes ask, taken apart (pure). */
import { ReimageError } from "../../../../errors.ts";
import { normalizeMac } from "../../../protocol/identity.ts";

const MOST_FIELDS = 64;

/**
 * The MACs in `hwdata`: the asset tag and the address of every card, joined by `|`. Firmware tells all sorts of things in
 * their place; what is no MAC, or nobody's (all zero, a group's), is passed over.
 */
export function macsOfHwdata(hwdata: string): string[] {
  const macs = hwdata
    .split("|")
    .slice(0, MOST_FIELDS)
    .map((field) => normalizeMac(field.trim()))
    .filter((mac) => mac !== null)
    .filter((mac) => mac !== "00:00:00:00:00:00" && (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0);
  return [...new Set(macs)];
}

/** @throws ReimageError `invalid` for what is no status word. */
export function parseStatusWord(text: string): string {
  if (/^[ a-zA-Z0-9._-]{1,128}$/.test(text)) return text;
  throw new ReimageError("invalid", "a status word consists of letters, digits, spaces and . _ - (128 at most)");
}
