/** What machines say is shown as text, and nothing in it may pose as something else (pure). */

/** ECMA-48: control sequences (CSI), strings (OSC, DCS, SOS, PM, APC) up to their end, and two-character escapes. */
const TERMINAL_SEQUENCES = /\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]/g;
const CONTROLS = /[\0-\x08\x0b-\x1f\x7f-\x9f]/g;
/** Unicode's marks that turn the direction of text around (UAX 9), and what is there without being seen. */
const UNSEEN = /[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/**
 * The text with terminal colours taken out, and control characters and marks of direction made visible: `␇`, `‹U+202E›`.
 * Line ends and tabs stay.
 */
export function showPlainly(text: string): string {
  return text
    .replace(/\r\n?/g, "\n")
    .replace(TERMINAL_SEQUENCES, "")
    .replace(CONTROLS, (control) => {
      const code = control.charCodeAt(0);
      return String.fromCharCode(code < 0x20 ? 0x2400 + code : code === 0x7f ? 0x2421 : 0xfffd);
    })
    .replace(UNSEEN, (mark) => `‹U+${mark.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}›`);
}

/** What can be shown of a value of which nothing is known: the text of a string or number, else nothing. */
export function textOf(value: unknown): string {
  if (typeof value === "string") return showPlainly(value);
  return typeof value === "number" ? String(value) : "";
}
