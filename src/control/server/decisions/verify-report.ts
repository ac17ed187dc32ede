/** Success is proven, never assumed: what a report must hold to be believed. */
import type { Image } from "../../protocol/image.ts";
import type { WireReport } from "../../protocol/run.ts";

/**
 * What a success is measured by. `readback`: the reimager has read the disk back, and says what it found. `facade`: the
 * protocol has no words for that, and its word that the wanted image is installed counts; nothing is believed that nobody
 * wanted.
 */
export type Trust = "readback" | "facade";

/**
 * What is missing in a report that says success; null: it proves it (pure).
 * @param image that was wanted; null: nobody wanted one, and the report must only hold together.
 */
export function reportProblem(report: WireReport, image: Image | null, trust: Trust = "readback"): string | null {
  if (report.target !== "complete") return `the disk is ${report.target}`;
  if (report.image === null) return "it names no image";
  if (trust === "facade") {
    if (image === null) return "nobody has wanted an image here";
    return report.image.id === image.id ? null : `image ${image.id} was wanted, ${report.image.id} was written`;
  }
  if (report.readback === null || !/^[0-9a-f]{64}$/.test(report.readback)) return "the disk was not read back";
  if (image === null) return null;
  if (report.image.id !== image.id)
    return `image ${image.id} was wanted, ${report.image.id ?? "one without a name"} was written`;
  if (image.sha256 !== null && report.image.sha256 !== image.sha256) {
    return `the image has the sha256 ${report.image.sha256}, ${image.sha256} was wanted`;
  }
  if (image.readback !== null && report.readback !== image.readback) {
    return `the disk read back as ${report.readback}, ${image.readback} was wanted`;
  }
  return null;
}
