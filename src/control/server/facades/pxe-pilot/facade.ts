/**
 * PXE Pilot's API (its version 0.7, and the paths without /v1 of versions before 0.4) over the machines and boot
 * configurations of this endpoint. What differs is in docs/compatibility.md.
 */
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { asReimageError, ReimageError } from "../../../../errors.ts";
import { LOCAL } from "../../../protocol/boot.ts";
import { nameSchema } from "../../../protocol/identity.ts";
import { type App, createApp, type Endpoint } from "../../api/context.ts";
import { statusOf } from "../../api/problems.ts";
import { asStoreError } from "../../database/failures.ts";
import type { Actor } from "../../database/store.ts";
import { renderBoot } from "../../decisions/render-boot.ts";
import { deploy, listConfigurations, readConfiguration } from "../../operations/boot.ts";
import { findMachine, listMachines } from "../../operations/machine-list.ts";
import { MOST_BODY_BYTES } from "../../security/limits.ts";
import { readBody } from "../../security/request-body.ts";
import type { FacadeContext } from "../facade-context.ts";
import { bootloaderOf, bootloaders } from "./bootloaders.ts";
import { parseDeployQuery } from "./deploy-query.ts";
import { findHosts, hostName, listHosts } from "./hosts.ts";
import { reboot, switchPower } from "./power.ts";

export function createPxePilotFacade(endpoint: Endpoint): App {
  const app = createApp();
  for (const prefix of ["", "/v1"]) addRoutes(app, endpoint, prefix);
  app.onError((thrown, context) => {
    const error = asStoreError(thrown);
    const status = statusOf(error.code);
    if (status === 500) endpoint.onError(thrown);
    const message = status === 500 ? "something went wrong here; the log of this endpoint tells more" : error.message;
    // Its program says `Message`, its manual `message`.
    return context.json({ Message: message, message }, status as ContentfulStatusCode);
  });
  return app;
}

const actorOf = (context: FacadeContext): Actor => ({ name: "facade:pxe-pilot", address: context.env.address });

function addRoutes(app: App, endpoint: Endpoint, prefix: string): void {
  const { store } = endpoint;

  app.get(`${prefix}/healthcheck`, (context) => context.body(null, 204));

  app.get(`${prefix}/bootloaders`, (context) => context.json(Object.values(bootloaders)));

  app.get(`${prefix}/configurations`, async (context) => {
    await endpoint.pxelinux?.readFiles();
    const configurations = await listConfigurations(store);
    return context.json(configurations.map((each) => ({ name: each.name, bootloader: bootloaderOf(each) })));
  });

  app.get(`${prefix}/configurations/:name`, async (context) => {
    const name = context.req.param("name");
    await requireConfiguration(endpoint, name);
    return context.json({ name, content: await contentOf(endpoint, name) });
  });

  app.put(`${prefix}/configurations/:name/deploy`, async (context) => {
    const text = await readBody(context.req.raw, MOST_BODY_BYTES, false);
    let query: ReturnType<typeof parseDeployQuery>;
    try {
      query = parseDeployQuery(text);
    } catch (error) {
      if (asReimageError(error).code === "invalid") return context.body(null, 400);
      throw error;
    }
    const name = context.req.param("name");
    const { boots, afterwards, hosts } = query;
    await requireConfiguration(endpoint, name);
    if (afterwards !== null) await requireConfiguration(endpoint, afterwards);
    const ids = await findHosts(store, hosts);
    const machines = await listMachines(store, { ids, limit: ids.length });
    await endpoint.pxelinux?.requireLinks(machines.flatMap(({ macs }) => macs));
    if (ids.length > 0) {
      const request = { machines: ids, boots, afterwards: afterwards ?? LOCAL, powerCycle: false };
      await deploy(store, actorOf(context), name, request);
      await endpoint.pxelinux?.settle(ids).catch((cause: unknown) => {
        const message = `this is deployed, and pxelinux.cfg cannot be switched yet: ${asReimageError(cause).message}`;
        throw new ReimageError("unavailable", message, { cause });
      });
    }
    const answers = await Promise.all(
      ids.map(async (id, index) => ({
        name: hostName(machines.find((machine) => machine.id === id) ?? { id, name: null }),
        configuration: name,
        rebooted: hosts[index]?.reboot === true ? await reboot(endpoint, id, context.env.address) : "NO",
      })),
    );
    if (/\breturn=minimal\b/.test(context.req.header("Prefer") ?? "")) return context.body(null, 204);
    return context.json({ hosts: answers });
  });

  app.get(`${prefix}/hosts`, async (context) => {
    const status = parseBool(context.req.query("status") ?? "true");
    if (status === null) return context.body(null, 400);
    return context.json(await listHosts(endpoint, status, context.env.address));
  });

  app.patch(`${prefix}/hosts/:name/:action{reboot|on|off}`, async (context) => {
    const id = await findMachine(store, context.req.param("name"));
    if (id === null) return context.body(null, 404);
    const action = { reboot: "reset", on: "on", off: "off" } as const;
    try {
      await switchPower(endpoint, id, action[context.req.param("action") as keyof typeof action], context.env.address);
    } catch {
      return context.body(null, 409); // the power job, and the audit, say why
    }
    return context.body(null, 204);
  });

  // Nothing to refresh: management controllers are known by their addresses.
  for (const path of ["refresh", "discovery"]) app.patch(`${prefix}/${path}`, (context) => context.body(null, 204));
}

/** @throws ReimageError `not-found` */
async function requireConfiguration(endpoint: Endpoint, name: string): Promise<void> {
  const find = async () => (nameSchema.safeParse(name).success ? await readConfiguration(endpoint.store, name) : null);
  if ((await find()) !== null) return;
  await endpoint.pxelinux?.readFiles(); // the file may be new
  if ((await find()) === null) throw new ReimageError("not-found", `there is no configuration ${name}`);
}

async function contentOf(endpoint: Endpoint, name: string): Promise<string> {
  const file = await endpoint.pxelinux?.contentOf(name);
  if (file !== null && file !== undefined) return file;
  const configuration = await readConfiguration(endpoint.store, name);
  if (configuration === null) throw new ReimageError("not-found", `there is no configuration ${name}`);
  return renderBoot(configuration, configuration.kind === "text" ? configuration.bootloader : "pxelinux");
}

/** Truth values as Go's strconv.ParseBool reads them. */
function parseBool(text: string): boolean | null {
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
  return /^(0|f|F|FALSE|false|False)$/.test(text) ? false : null;
}
