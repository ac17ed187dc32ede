/** Decoders that go wrong, in the place of the real ones. */
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** When it goes wrong. The other time it does what the real one does. */
export type Phase = "judging" | "writing";

/** What a wrong decoder does; in the shell, with the real one as `"$real" "$@"`. One that hangs leaves its id in `<it>.pid`. */
export const misdeeds = {
  /** As the OOM killer ends it. */
  "killed in the middle": `"$real" "$@" 2>/dev/null | head -c 2000000; kill -KILL $$`,
  "killed after its last byte": `"$real" "$@"; kill -KILL $$`,
  "complaining, with status 0": `"$real" "$@"; echo something is odd >&2`,
  "ending with status 1 after its last byte": `"$real" "$@"; exit 1`,
  "ending early with status 0": `"$real" "$@" 2>/dev/null | head -c 3000000`,
  "going on behind the end": `"$real" "$@"; echo more`,
  "decoding to something else": `"$real" "$@" | tr a b`,
  hanging: `"$real" "$@" 2>/dev/null | head -c 2000000; echo $$ >$pid; exec sleep infinity`,
} as const;

export type Misdeed = keyof typeof misdeeds;

/**
 * Makes an executable in `folder` that can lie over `tool`. It knows that the disk is being written by its first sector, which
 * is cleared before anything else.
 */
export function makeFalseDecoder(folder: string, tool: string, misdeed: Misdeed, phase: Phase, disk: string): string {
  const real = join(folder, `real-${tool}`); // not the one in its place, over which the false one lies
  copyFileSync(Bun.which(tool) ?? "", real);
  const path = join(folder, `false-${tool}`);
  const script = `#!/bin/sh
real=${real}
pid=${path}.pid
phase=judging
[ "$(head -c 512 ${disk} | tr -d '\\000' | wc -c)" -gt 0 ] || phase=writing
[ $phase = ${phase} ] || exec "$real" "$@"
`;
  writeFileSync(path, `${script}${misdeeds[misdeed]}\n`, { mode: 0o755 });
  return path;
}
