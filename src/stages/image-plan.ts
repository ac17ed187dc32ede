/** What was found out about the image and is needed again for writing it: kept in the work directory, apart from the state. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ReimageError } from "../errors.ts";
import type { Segment } from "../image/manifest/manifest.ts";
import type { Piece } from "../image/pieces.ts";
import type { Region } from "../image/regions.ts";
import { keepFile } from "./keep-file.ts";

/** What to write, piece by piece. Large: a line for every few MiB of image. */
export interface ImagePlan {
  readonly pieces: readonly Piece[];
  readonly zeros: readonly Region[];
  readonly segments: readonly Segment[] | null;
}

/** Where the plan is, and the digest that tells whether it is still what it was. */
export interface KeptPlan {
  readonly path: string;
  readonly sha256: string;
}

/** Keeps a plan in the work directory. @throws ReimageError `memory` */
export function keepPlan(workDir: string, { pieces, zeros, segments }: ImagePlan): KeptPlan {
  const path = join(workDir, "image-plan.json");
  const data = JSON.stringify({ pieces, zeros, segments });
  keepFile(path, data);
  return { path, sha256: createHash("sha256").update(data).digest("hex") };
}

/** @throws ReimageError `state` where it is not what was kept. */
export function readPlan({ path, sha256 }: KeptPlan): ImagePlan {
  let cause: unknown;
  try {
    const data = readFileSync(path, "utf8");
    if (createHash("sha256").update(data).digest("hex") === sha256) return JSON.parse(data) as ImagePlan;
  } catch (thrown) {
    cause = thrown;
  }
  throw new ReimageError("state", `${path} does not hold what was found out about the image any more`, {
    cause,
    hint: "the memory of this machine is faulty or was changed: test it",
  });
}
