/** A process of its own that switches 50 hosts to and fro until it is killed: `<root> <configurations>`. */
import { openPxelinuxDirectory } from "../../src/control/server/pxelinux/directory.ts";
import { fiftyHosts } from "./pxelinux.ts";

const [root = "", configurationsDir = ""] = process.argv.slice(2);
const directory = await openPxelinuxDirectory({ root, configurationsDir, onRead: async () => {} });
for (let round = 0; ; round += 1) {
  const bootId = round % 4 < 2 ? null : `${process.pid}-${round}`;
  const configuration = round % 2 === 0 ? "install" : "local";
  await directory.apply(fiftyHosts().map((macs) => ({ macs, configuration, bootId })));
  if (round === 1) process.stdout.write("switching\n");
}
