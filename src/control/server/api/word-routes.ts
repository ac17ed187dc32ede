/** /machines/{machineId}/…: what a machine itself says and asks. */
import { z } from "zod";
import { ReimageError } from "../../../errors.ts";
import { enrolAnswerSchema, enrolSchema } from "../../protocol/enrolment.ts";
import { apiErrorSchema } from "../../protocol/error.ts";
import { machineIdSchema } from "../../protocol/identity.ts";
import {
  abortAnswerSchema,
  abortMessageSchema,
  eventBatchSchema,
  eventReceiptSchema,
  instructionRequestSchema,
  instructionSchema,
  reportMessageSchema,
  reportReceiptSchema,
} from "../../protocol/run.ts";
import { enrol } from "../operations/enrolment.ts";
import { abortRun, instruct, takeReport } from "../operations/machine-word.ts";
import { MOST_ENROL_BYTES, MOST_EVENTS_BYTES } from "../security/limits.ts";
import { type App, actorOf, type Endpoint, guard, json, route } from "./context.ts";

const params = z.object({ machineId: machineIdSchema });

export function addWordRoutes(app: App, endpoint: Endpoint): void {
  const { store, limiter } = endpoint;
  const machine = guard(endpoint, "machine");

  const enrolment = route("anyone", {
    method: "post",
    path: "/enrol",
    middleware: guard(endpoint, "anyone", MOST_ENROL_BYTES),
    request: { body: { required: true, ...json(enrolSchema, "") } },
    responses: {
      200: json(enrolAnswerSchema, "enrolled: the token counts"),
      202: json(enrolAnswerSchema, "an operator has to approve it"),
    },
  });
  app.openapi(enrolment, async (context) => {
    const request = context.req.valid("json");
    const address = context.env?.address ?? null;
    if (request.code === undefined) limiter.stranger(address);
    else limiter.secretBearer(address);
    const answer = await enrol(store, actorOf(context), request);
    return context.json(answer, answer.state === "approved" ? 200 : 202);
  });

  const instructions = route("machine", {
    method: "post",
    path: "/machines/{machineId}/instructions",
    middleware: machine,
    request: { params, body: { required: true, ...json(instructionRequestSchema, "") } },
    responses: {
      200: json(instructionSchema, "what the machine shall do; anything else than `reinstall`: write nothing"),
    },
  });
  app.openapi(instructions, async (context) => {
    const { machineId } = context.req.valid("param");
    return context.json(await instruct(store, actorOf(context), machineId, context.req.valid("json")), 200);
  });

  const events = route("machine", {
    method: "post",
    path: "/machines/{machineId}/events",
    middleware: guard(endpoint, "machine", MOST_EVENTS_BYTES),
    request: { params, body: { required: true, ...json(eventBatchSchema, "") } },
    responses: { 200: json(eventReceiptSchema, "stored, durably") },
  });
  app.openapi(events, async (context) => {
    const { machineId } = context.req.valid("param");
    return context.json(await endpoint.takeEvents({ machineId, ...context.req.valid("json") }), 200);
  });

  const report = route("machine", {
    method: "post",
    path: "/machines/{machineId}/report",
    middleware: machine,
    request: { params, body: { required: true, ...json(reportMessageSchema, "") } },
    responses: {
      200: json(reportReceiptSchema, "taken"),
      422: json(apiErrorSchema, "recorded, but it says success and does not prove it"),
    },
  });
  app.openapi(report, async (context) => {
    const { machineId } = context.req.valid("param");
    const receipt = await takeReport(store, actorOf(context), machineId, context.req.valid("json"));
    if (receipt.verdict === "unverified") {
      throw new ReimageError("unverified", `the report says success and does not prove it: ${receipt.reason}`, {
        hint: "it is recorded, and the reinstallation waits for an operator",
      });
    }
    return context.json(receipt, 200);
  });

  const abort = route("machine", {
    method: "post",
    path: "/machines/{machineId}/abort-reinstall",
    middleware: machine,
    request: { params, body: { required: true, ...json(abortMessageSchema, "") } },
    responses: { 200: json(abortAnswerSchema, "what the machine shall do next") },
  });
  app.openapi(abort, async (context) => {
    const { machineId } = context.req.valid("param");
    return context.json(await abortRun(store, actorOf(context), machineId, context.req.valid("json")), 200);
  });
}
