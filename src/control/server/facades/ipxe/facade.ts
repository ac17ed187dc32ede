/**
 * What iPXE is answered. It shows nothing of an answer that is no success, so errors are scripts too: they say what is wrong
 * on the console, try again for a while, and start the machine from its disk.
 */
import { asReimageError } from "../../../../errors.ts";
import { normalizeMac } from "../../../protocol/identity.ts";
import { type App, createApp, type Endpoint } from "../../api/context.ts";
import { ASK_FIRST, IPXE_DISK, ipxeScript, ipxeText, renderBoot } from "../../decisions/render-boot.ts";
import { answerNetboot } from "../../operations/boot.ts";
import type { FacadeContext } from "../facade-context.ts";

const CARDS = 10;

export function createIpxeFacade(endpoint: Endpoint): App {
  const app = createApp();

  app.get("/boot.ipxe", (context) => answer(context, firstScript));

  app.get("/boot/:file{[^/]*\\.ipxe}", async (context) => {
    const file = context.req.param("file").replace(/\.ipxe$/, "");
    const macs = [file, ...(context.req.queries("mac") ?? []).slice(0, CARDS)].map(normalizeMac);
    try {
      return answer(
        context,
        await scriptFor(endpoint, new Set(macs.filter((mac) => mac !== null)), context.env.address),
      );
    } catch (thrown) {
      const { code, message } = asReimageError(thrown);
      if (code === "bug") endpoint.onError(thrown);
      return answer(
        context,
        errorScript(code === "bug" ? "the endpoint has a problem; see its log" : message, context),
      );
    }
  });

  return app;
}

/** Any of its cards tells who a machine is: the one that it boots from comes first. */
async function scriptFor(endpoint: Endpoint, macs: ReadonlySet<string>, address: string | null): Promise<string> {
  for (const mac of macs) {
    const found = await answerNetboot(endpoint.store, { name: "facade:ipxe", address }, mac);
    if (found !== null) return renderBoot(found.configuration, "ipxe", found.isReinstall ? ASK_FIRST : "");
  }
  const [mac = "without a network card"] = macs;
  return [
    "#!ipxe",
    `echo reimage: this machine (${mac}) is not known here. It starts from its disk.`,
    "sleep 5",
    `${IPXE_DISK}\n`,
  ].join("\n");
}

/** Sends all MACs: iPXE replaces what a machine does not have by nothing. */
const cards = Array.from({ length: CARDS }, (_, index) => `mac=\${net${index}/mac:hexhyp}`).join("&");
const firstScript = ipxeScript([
  `chain boot/\${netX/mac:hexhyp}.ipxe?${cards} && exit ||`,
  "echo reimage: the endpoint gave no answer, or what it named could not be started",
]);

function errorScript(message: string, context: FacadeContext): string {
  const { pathname } = new URL(context.req.url);
  return ipxeScript([`echo reimage: ${ipxeText(message)}`], `chain ${pathname}`);
}

function answer(context: FacadeContext, script: string): Response {
  return context.text(script, 200, { "Cache-Control": "no-store" });
}
