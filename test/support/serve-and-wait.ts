/** A `serve` in a process of its own, to be killed: `<options as JSON>`. Prints its URL. */
import { type FacadeName, facades } from "../../src/control/server/facades/mount.ts";
import { parseAddressRange } from "../../src/control/server/security/address-range.ts";
import { openServe } from "../../src/control/server/serve.ts";

const { clockAheadMs = 0, ...given } = JSON.parse(process.argv[2] ?? "{}");
const serve = await openServe({
  hostname: "127.0.0.1",
  port: 0,
  tls: null,
  powerAdapters: [],
  keepDays: 90,
  facades: { names: Object.keys(facades) as FacadeName[], clients: [parseAddressRange("127.0.0.1")] },
  log: (line: string) => void process.stderr.write(`${line}\n`),
  now: () => Date.now() + clockAheadMs,
  ...given,
});
process.stdout.write(`${serve.url}\n`);
