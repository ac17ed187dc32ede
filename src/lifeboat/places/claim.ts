/** Claims a place for the lifeboat: unpartitioned space, else a swap partition, else a file. */
import { describeError, ReimageError } from "../../errors.ts";
import { formatBytes } from "../../report/format.ts";
import { claimFile } from "./file.ts";
import { claimGap } from "./gap.ts";
import type { Attempt, ClaimedPlace, PlaceKind, PlaceRequest } from "./place.ts";
import { claimSwap } from "./swap.ts";

export type { ClaimedPlace, PlaceKind, PlaceNeeds, PlaceRequest, PlaceUndo } from "./place.ts";

const kinds: readonly (readonly [PlaceKind, (request: PlaceRequest) => Promise<Attempt>])[] = [
  ["gap", claimGap],
  ["swap", claimSwap],
  ["file", claimFile],
];

/**
 * Claims the first kind of place that fits. Nothing has changed where it throws.
 * @throws ReimageError `lifeboat` with the numbers of every attempt.
 */
export async function claimPlace(request: PlaceRequest): Promise<ClaimedPlace> {
  const refusals: string[] = [];
  for (const [kind, claim] of kinds) {
    if (request.only !== undefined && request.only !== kind) continue;
    const attempt = await claim(request).catch((error: unknown): Attempt => {
      return { refusals: [`${kind}: ${describeError(error)}`] };
    });
    if ("place" in attempt) return attempt.place;
    refusals.push(...attempt.refusals);
  }
  const { bootBytes, bulkBytes } = request.needs;
  const needed = `${formatBytes(bootBytes + bulkBytes)}, ${formatBytes(bootBytes)} of it in one piece`;
  const list = refusals.map((refusal) => `\n  ${refusal}`).join("");
  throw new ReimageError(
    "lifeboat",
    `${request.disk.path} has no room for a lifeboat (${needed}) that the new image does not write; nothing was changed:${list}`,
    {
      hint: "make room behind the image (delete files, or a partition nobody needs), or a smaller image, or retain less; or do without protection against power cuts: --accept-power-cut-risk",
    },
  );
}
