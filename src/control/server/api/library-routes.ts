/** /images and /boot-configurations. */
import { z } from "zod";
import { ReimageError } from "../../../errors.ts";
import { bootConfigurationSchema, deploymentSchema, deploySchema } from "../../protocol/boot.ts";
import { nameSchema } from "../../protocol/identity.ts";
import { imageIdSchema, imageSchema } from "../../protocol/image.ts";
import {
  deploy,
  listConfigurations,
  putConfiguration,
  readConfiguration,
  removeConfiguration,
} from "../operations/boot.ts";
import { listImages, putImage, readImage, removeImage } from "../operations/images.ts";
import { findMachine } from "../operations/machine-list.ts";
import { type App, actorOf, type Endpoint, guard, json, route } from "./context.ts";

const imageParams = z.object({ imageId: imageIdSchema });
const params = z.object({ name: nameSchema });

export function addLibraryRoutes(app: App, endpoint: Endpoint): void {
  const { store } = endpoint;
  const [viewer, operator, admin] = [guard(endpoint, "viewer"), guard(endpoint, "operator"), guard(endpoint, "admin")];

  const images = route("viewer", {
    method: "get",
    path: "/images",
    middleware: viewer,
    responses: { 200: json(z.object({ images: z.array(imageSchema) }), "in the order of ids") },
  });
  app.openapi(images, async (context) => context.json({ images: await listImages(store) }, 200));

  const image = route("viewer", {
    method: "get",
    path: "/images/{imageId}",
    middleware: viewer,
    request: { params: imageParams },
    responses: { 200: json(imageSchema, "the image") },
  });
  app.openapi(image, async (context) => context.json(await readImage(store, context.req.valid("param").imageId), 200));

  const put = route("operator", {
    method: "put",
    path: "/images/{imageId}",
    middleware: operator,
    request: { params: imageParams, body: { required: true, ...json(imageSchema, "") } },
    responses: { 200: json(imageSchema, "kept") },
  });
  app.openapi(put, async (context) => {
    const body = context.req.valid("json");
    requireSame(body.id, context.req.valid("param").imageId);
    await putImage(store, actorOf(context), body);
    return context.json(body, 200);
  });

  const drop = route("admin", {
    method: "delete",
    path: "/images/{imageId}",
    middleware: admin,
    request: { params: imageParams },
    responses: { 204: { description: "forgotten" } },
  });
  app.openapi(drop, async (context) => {
    await removeImage(store, actorOf(context), context.req.valid("param").imageId);
    return context.body(null, 204);
  });

  const configurations = route("viewer", {
    method: "get",
    path: "/boot-configurations",
    middleware: viewer,
    responses: { 200: json(z.object({ configurations: z.array(bootConfigurationSchema) }), "in the order of names") },
  });
  app.openapi(configurations, async (context) => {
    return context.json({ configurations: await listConfigurations(store) }, 200);
  });

  const configuration = route("viewer", {
    method: "get",
    path: "/boot-configurations/{name}",
    middleware: viewer,
    request: { params },
    responses: { 200: json(bootConfigurationSchema, "the configuration") },
  });
  app.openapi(configuration, async (context) => {
    const { name } = context.req.valid("param");
    const found = await readConfiguration(store, name);
    if (found === null) throw new ReimageError("not-found", `there is no boot configuration ${name}`);
    return context.json(found, 200);
  });

  const putBoot = route("operator", {
    method: "put",
    path: "/boot-configurations/{name}",
    middleware: operator,
    request: { params, body: { required: true, ...json(bootConfigurationSchema, "") } },
    responses: { 200: json(bootConfigurationSchema, "kept") },
  });
  app.openapi(putBoot, async (context) => {
    const body = context.req.valid("json");
    requireSame(body.name, context.req.valid("param").name);
    await putConfiguration(store, actorOf(context), body);
    return context.json(body, 200);
  });

  const dropBoot = route("admin", {
    method: "delete",
    path: "/boot-configurations/{name}",
    middleware: admin,
    request: { params },
    responses: { 204: { description: "forgotten" } },
  });
  app.openapi(dropBoot, async (context) => {
    await removeConfiguration(store, actorOf(context), context.req.valid("param").name);
    return context.body(null, 204);
  });

  const deployment = route("operator", {
    method: "post",
    path: "/boot-configurations/{name}/deploy",
    middleware: operator,
    request: { params, body: { required: true, ...json(deploySchema, "") } },
    responses: { 200: json(z.object({ deployments: z.array(deploymentSchema) }), "all of them are switched") },
  });
  app.openapi(deployment, async (context) => {
    const request = context.req.valid("json");
    if (request.powerCycle) await requireAdapters(request.machines, endpoint);
    const deployments = await deploy(store, actorOf(context), context.req.valid("param").name, request);
    if (request.powerCycle) {
      for (const { machineId } of deployments) await endpoint.power.bootFromNetwork(actorOf(context), machineId, null);
    }
    return context.json({ deployments }, 200);
  });
}

/** Nothing is deployed for machines that could not be switched then. What nobody knows is refused by the deployment itself. */
async function requireAdapters(references: readonly string[], { store, power }: Endpoint): Promise<void> {
  for (const reference of references) {
    const id = await findMachine(store, reference);
    if (id !== null) await power.requireAdapter(id);
  }
}

function requireSame(inBody: string, inPath: string): void {
  if (inBody !== inPath) throw new ReimageError("invalid", `the path names ${inPath}, and the body ${inBody}`);
}
