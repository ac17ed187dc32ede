/** Luna's boot protocol: `GET /luna?step=boot|discovery|install`. What differs is in docs/compatibility.md. */
import { asReimageError, ReimageError } from "../../../../errors.ts";
import type { MachineSummary } from "../../../protocol/machine.ts";
import { type App, createApp, type Endpoint } from "../../api/context.ts";
import { statusOf } from "../../api/problems.ts";
import { asStoreError } from "../../database/failures.ts";
import type { Actor } from "../../database/store.ts";
import { bootInState } from "../../decisions/reinstall-facts.ts";
import { ASK_FIRST, IPXE_DISK, ipxeScript, ipxeText, renderBoot } from "../../decisions/render-boot.ts";
import { answerNetboot, type NetbootAnswer } from "../../operations/boot.ts";
import { findMachine, listMachines } from "../../operations/machine-list.ts";
import type { FacadeContext } from "../facade-context.ts";
import { keepClaim, keepStatus } from "./node-status.ts";
import { macsOfHwdata, parseStatusWord } from "./query.ts";
import { bootMenu, installScript, nodeArguments } from "./scripts.ts";

export function createLunaFacade(endpoint: Endpoint): App {
  const app = createApp();
  app.onError((thrown, context) => {
    const error = asStoreError(thrown);
    const status = statusOf(error.code);
    if (status === 500) endpoint.onError(thrown);
    return context.text(`${status === 500 ? "something went wrong here" : error.message}\n`, status);
  });
  app.get("/luna", async (context) => {
    const step = context.req.query("step");
    if (step === "boot") return plain(context, bootMenu(urlOf(context)));
    if (step === "discovery") return await discover(context, endpoint);
    if (step === "install") return await install(context, endpoint);
    throw new ReimageError("invalid", "step must be boot, discovery or install");
  });
  return app;
}

const plain = (context: FacadeContext, text: string) => context.text(text, 200, { "Cache-Control": "no-store" });
const actorOf = (context: FacadeContext): Actor => ({ name: "facade:luna", address: context.env.address });

async function discover(context: FacadeContext, endpoint: Endpoint): Promise<Response> {
  const hwdata = context.req.query("hwdata");
  if (hwdata === undefined || hwdata === "") throw new ReimageError("invalid", "hwdata is missing");
  const macs = macsOfHwdata(hwdata);
  const node = context.req.query("node");
  const loader = loaderOf(context.req.query("type"));
  const id =
    node === undefined || node === ""
      ? await findByMac(endpoint, macs)
      : await findClaimed(endpoint, actorOf(context), node, macs);
  const answer = await answerNetboot(endpoint.store, actorOf(context), id);
  if (answer === null) throw new ReimageError("not-found", "this machine is not known");
  await keepStatus(endpoint.store, actorOf(context), id, "boot.request");
  return plain(context, await bootScript(context, endpoint, answer, loader, macs));
}

/** @throws ReimageError `not-found` for a type that Luna does not know. */
function loaderOf(type = "ipxe"): "ipxe" | "pxelinux" {
  if (type === "ipxe" || type === "") return "ipxe";
  if (type === "syslinux") return "pxelinux";
  throw new ReimageError("not-found", "type must be ipxe or syslinux");
}

async function findByMac({ store }: Endpoint, macs: readonly string[]): Promise<string> {
  for (const mac of macs) {
    const id = await findMachine(store, mac);
    if (id !== null) return id;
  }
  throw new ReimageError("not-found", "no machine has one of these network cards");
}

/**
 * The machine of that name, where one of the cards is its own. Anybody can say a name: a card that is nobody's waits for an
 * operator, and one that is another machine's stays so.
 */
async function findClaimed({ store }: Endpoint, actor: Actor, node: string, macs: readonly string[]): Promise<string> {
  const id = await findMachine(store, node);
  if (id === null) throw new ReimageError("invalid", "there is no node of that name");
  const owners = await Promise.all(macs.map((mac) => findMachine(store, mac)));
  if (owners.includes(id)) return id;
  const other = owners.find((owner) => owner !== null);
  if (other !== undefined) throw new ReimageError("not-found", "this machine is another node");
  const [first] = macs;
  if (first === undefined) throw new ReimageError("not-found", "hwdata names no network card");
  await keepClaim(store, actor, id, first);
  throw new ReimageError("not-found", `an operator has to approve that ${first} is a card of this node`);
}

async function bootScript(
  context: FacadeContext,
  { store, onError }: Endpoint,
  { machineId, configuration, isReinstall }: NetbootAnswer,
  loader: "ipxe" | "pxelinux",
  macs: readonly string[],
): Promise<string> {
  if (configuration.kind === "local" && loader === "ipxe") return `#!ipxe\n${IPXE_DISK}\n`;
  const machine = await requireSummary(store, machineId);
  const mac = macs.find((each) => machine.macs.includes(each)) ?? null;
  const cmdline = configuration.kind === "linux" ? configuration.cmdline : "";
  const own = nodeArguments(machine.name ?? machine.id, mac, urlOf(context), cmdline);
  try {
    return renderBoot(configuration, loader, isReinstall ? `${own} ${ASK_FIRST}` : own);
  } catch (thrown) {
    const { code, message } = asReimageError(thrown);
    if (code !== "config") onError(thrown);
    if (loader === "pxelinux") throw new ReimageError("not-found", message);
    return ipxeScript([`echo reimage: ${ipxeText(message)}`]); // seen by who stands before it
  }
}

async function install(context: FacadeContext, { store }: Endpoint): Promise<Response> {
  const node = context.req.query("node") ?? "";
  const id = node === "" ? null : await findMachine(store, node);
  if (id === null) throw new ReimageError("invalid", "there is no node of that name");
  const status = context.req.query("status");
  if (status !== undefined) {
    await keepStatus(store, actorOf(context), id, parseStatusWord(status));
    return context.body(null, 200);
  }
  const machine = await requireSummary(store, id);
  if (machine.reinstall === null || bootInState(machine.reinstall.state) !== "reimage") {
    throw new ReimageError(
      "not-found",
      "nothing is to be installed on this node: no reinstallation of it is requested",
    );
  }
  await keepStatus(store, actorOf(context), id, "install.request");
  return plain(context, installScript(machine.name ?? machine.id, urlOf(context)));
}

async function requireSummary(store: Endpoint["store"], id: string): Promise<MachineSummary> {
  const [machine] = await listMachines(store, { ids: [id], limit: 1 });
  if (machine === undefined) throw new ReimageError("not-found", "this machine is not known");
  return machine;
}

/** As the node has called it; it becomes part of scripts. @throws ReimageError `invalid` */
function urlOf(context: FacadeContext): string {
  const url = `${new URL(context.req.url).origin}/luna`;
  if (!/^https?:\/\/[A-Za-z0-9.:[\]-]+\/luna$/.test(url))
    throw new ReimageError("invalid", "the Host header is strange");
  return url;
}
