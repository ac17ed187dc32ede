/** The tiny kiosks of a test file: an image and an old disk of each layout, made once, opened as often as needed. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "./loop-device.ts";
import { type Kiosk, openKiosk } from "./open-kiosk.ts";
import { type Layout, makeNewImage, makeOldDisk, retentionList, tinyDiskSizes, tinyImageSizes } from "./small-kiosk.ts";

export interface TinyKiosks extends AsyncDisposable {
  /** A path beside the disks: `<layout>.img.bz2` is the image, `<layout>-old.img` the old disk, `list` the retention list. */
  at(name: string): string;
  /** A copy of the old disk on a loop device. */
  openFresh(layout: Layout): Promise<Kiosk>;
}

/** What stands before the labels of the old disk. */
export const tinyLabels = (prefix: string, layout: Layout): string => `${prefix}${layout.slice(0, 1)}${process.pid}`;

/** @param prefix one letter, so that no other test file that runs at the same time has the same labels. */
export async function makeTinyKiosks(prefix: string): Promise<TinyKiosks> {
  const base = await temporaryDirectory();
  const at = (name: string) => join(base.dir, name);
  writeFileSync(at("list"), retentionList);
  for (const layout of ["mbr", "gpt"] as const) {
    await makeNewImage(at(`${layout}.img`), layout, { sizes: tinyImageSizes, programMiB: 2 });
    execFileSync("lbzip2", ["--keep", at(`${layout}.img`)]);
    const images = { "os.img.bz2": at(`${layout}.img.bz2`) };
    await makeOldDisk(at(`${layout}-old.img`), layout, images, {
      labels: tinyLabels(prefix, layout),
      sizes: tinyDiskSizes,
    });
  }
  return {
    at,
    openFresh: (layout) =>
      openKiosk({ layout, oldDisk: at(`${layout}-old.img`), list: at("list"), labels: tinyLabels(prefix, layout) }),
    [Symbol.asyncDispose]: () => base[Symbol.asyncDispose](),
  };
}
