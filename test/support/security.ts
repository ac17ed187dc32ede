/** Callers of every kind, for the tests of who may do what. */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import type { TestMachine, TestServe } from "./control-server.ts";
import { type OpenApi, type Operation, readOpenApi } from "./openapi.ts";

export interface EveryCaller {
  readonly viewer: string;
  readonly operator: string;
  readonly admin: string;
  readonly machine: TestMachine;
  readonly otherMachine: TestMachine;
  /** Tokens that do not count, by why. */
  readonly useless: Readonly<Record<string, string>>;
  /** The cookie of a session. */
  readonly session: string;
}

export async function readDescription(serve: TestServe): Promise<OpenApi> {
  return readOpenApi(await (await fetch(`${serve.url}/api/v1/openapi.json`)).json());
}

export async function newToken(
  serve: TestServe,
  role: string,
  change: object = {},
): Promise<{ id: string; token: string }> {
  return await serve.must("POST", "/tokens", { name: `a-${role}`, role, ...change });
}

/** Logs in. @returns the value of the cookie. */
export async function openSession(serve: TestServe, token: string): Promise<string> {
  const answer = await serve.api("POST", "/session", { token }, null);
  const cookie = answer.headers.get("set-cookie") ?? "";
  return /^reimage-session=([^;]+)/.exec(cookie)?.[1] ?? `no session: ${answer.status}`;
}

/** @param setClock sets the endpoint's clock ahead, so that a token expires. */
export async function everyCaller(serve: TestServe, setClock: (aheadMs: number) => void): Promise<EveryCaller> {
  const token = async (role: string) => (await newToken(serve, role)).token;
  const expired = await newToken(serve, "admin", { expiresInSeconds: 60 });
  const revoked = await newToken(serve, "admin");
  await serve.must("DELETE", `/tokens/${revoked.id}`);
  const pending = randomBytes(32).toString("base64url");
  await serve.must("POST", "/enrol", {
    machineId: randomUUID(),
    macs: [],
    tokenSha256: createHash("sha256").update(pending).digest("hex"),
  });
  const replaced = await serve.enrol();
  await enrolAgain(serve, replaced.id);
  const { code } = await serve.must<{ code: string }>("POST", "/enrolment-codes", {});
  const session = await openSession(serve, serve.adminToken);
  setClock(61_000);
  return {
    viewer: await token("viewer"),
    operator: await token("operator"),
    admin: serve.adminToken,
    machine: await serve.enrol(),
    otherMachine: await serve.enrol(),
    session,
    useless: {
      expired: expired.token,
      revoked: revoked.token,
      "waiting for approval": pending,
      "replaced by another enrolment": replaced.token,
      "a code": code,
      "a session": session,
      "the SHA-256 of a token": createHash("sha256").update(serve.adminToken).digest("hex"),
      "cut short": serve.adminToken.slice(0, -1),
      longer: `${serve.adminToken}x`,
      "in another case": serve.adminToken.toUpperCase(),
      empty: "",
    },
  };
}

async function enrolAgain(serve: TestServe, machineId: string): Promise<void> {
  const { code } = await serve.must<{ code: string }>("POST", "/enrolment-codes", { machineId });
  await serve.must("POST", "/enrol", { machineId, macs: [], tokenSha256: randomBytes(32).toString("hex"), code });
}

/** The path of an operation with plausible parameters. @param machineId for the machine that the path names. */
export function pathOf({ path }: Operation, machineId: string): string {
  return path
    .replace("{machineId}", machineId)
    .replace("{runId}", "00000000-0000-4000-8000-000000000000")
    .replace(/\{[a-zA-Z]+\}/, "any");
}
