/**
 * The protocols of metal-stack: metal-core's, which metal-hammer speaks from the initramfs, and metal-api's, which people and
 * metal-core speak. Both over the same machines and the same state machine as /api/v1. docs/compatibility.md
 */
import { createApp } from "../../api/context.ts";
import type { CreateFacade } from "../facade.ts";
import { metalProblem } from "./answers.ts";
import { addApiRoutes } from "./api-routes.ts";
import { addCoreRoutes } from "./core-routes.ts";
import { addFleetRoutes } from "./fleet-routes.ts";
import type { MetalContext } from "./metal-context.ts";

/** Below the time after which the server hangs up on a connection that says nothing. */
const WAIT_SECONDS = 25;

export const createMetalFacade: CreateFacade = (endpoint, { metalWaitSeconds = WAIT_SECONDS }) => {
  const app = createApp();
  const metal: MetalContext = { endpoint, waitSeconds: metalWaitSeconds };
  addCoreRoutes(app, metal);
  addApiRoutes(app, metal);
  addFleetRoutes(app, metal);
  app.onError((error, context) => metalProblem(context, error, endpoint.onError));
  return app;
};
