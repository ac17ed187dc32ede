/**
 * Who is told of a run beside the person in front of it, and may have a say in it: the control endpoint, where one is
 * configured. Stages know what they hand over and what they may get back, and nothing of a network.
 */
import type { BootInfo } from "../disk/boot-info.ts";
import { ReimageError } from "../errors.ts";
import type { RunReport } from "../report/report-json.ts";

/** What was found on the machine before anything is written. */
export interface Found {
  /** What the old OS says of itself; null: nothing, or there is none. */
  readonly bootInfo: BootInfo | null;
  /** Whether the operator has named the target in the configuration. */
  readonly isDiskNamed: boolean;
  /** A file of the old OS, no link leading outside of it; null: it is not there, or there is no old OS. */
  readOldFile(path: string): Promise<Buffer | null>;
}

/** What was agreed to; null: whatever is configured. */
export interface AgreedImage {
  readonly id: string;
  readonly sha256: string | null;
}

export interface Overseer {
  /**
   * The target and the old OS are found. The run goes on when this resolves, with that image and no other.
   * @throws ReimageError `control` where the machine shall not be overwritten.
   */
  agree(found: Found): Promise<AgreedImage | null>;
  /** What the new OS shall send on, for a file in `log`: what has not been sent, and the report; null: nothing. */
  handOver(report: RunReport, bootInfo: BootInfo): string | null;
}

/** Where nobody is configured. */
export const nobody: Overseer = { agree: async () => null, handOver: () => null };

/** What the file for the new OS is called. */
export const handOverName = "control-queue.ndjson";

/** @throws ReimageError `control` where the image is not the one that was agreed to. */
export function requireAgreed(agreed: AgreedImage | null, image: { imageId: string; sha256: string }): void {
  if (agreed === null) return;
  const hint = "correct image.source, or the image that the endpoint knows under that name; nothing was written";
  if (agreed.id !== image.imageId) {
    const message = `the control endpoint wants image ${agreed.id}, and image.source is ${image.imageId}`;
    throw new ReimageError("control", message, { hint });
  }
  if (agreed.sha256 !== null && agreed.sha256 !== image.sha256) {
    const message = `the control endpoint wants image ${agreed.id} with the sha256 ${agreed.sha256}; this one has ${image.sha256}`;
    throw new ReimageError("control", message, { hint });
  }
}
