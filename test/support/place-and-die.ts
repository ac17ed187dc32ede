/** A process of its own that claims, seals or releases a place, to be killed. Argument: JSON of what to do. */
import { claimPlace, type PlaceRequest, type PlaceUndo } from "../../src/lifeboat/places/claim.ts";
import { releasePlace } from "../../src/lifeboat/places/release.ts";

/** `request`: claims, fills, prints the undo data, seals, and prints `sealed`; then it waits. `undo`: releases. */
export type PlaceOrder = { readonly request: PlaceRequest } | { readonly undo: PlaceUndo };

if (import.meta.main) {
  const order: PlaceOrder = JSON.parse(process.argv[2] ?? "");
  process.stdout.write("started\n");
  if ("undo" in order) {
    await releasePlace(order.undo);
  } else {
    const place = await claimPlace(order.request);
    process.stdout.write("claimed\n");
    for (const { offsetBytes, sizeBytes } of [place.boot, ...place.bulk]) {
      await place.writeAt(Buffer.alloc(sizeBytes, 0x42), offsetBytes);
    }
    await place.sync();
    process.stdout.write(`undo ${JSON.stringify(place.undo)}\n`);
    await place.seal();
    process.stdout.write("sealed\n");
    await new Promise(() => setInterval(() => {}, 1000));
  }
}
