/** The client of a run whose endpoint decides: how long it asks, and what it says meanwhile. */
import { expect, test } from "bun:test";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openClient } from "../../src/control/client/client.ts";
import { type EndpointFault, startFaultyEndpoint } from "../support/faulty-endpoint.ts";

test("after an answer that says to wait, the endpoint is waited for as long as at first", async () => {
  const image = { id: "os-2", url: null, sha256: null };
  const answers: EndpointFault[] = [
    { status: 200, body: { action: "wait", afterSeconds: 3, reason: "an attempt has failed" } },
    { status: 503 },
    { status: 200, body: { action: "reinstall", attempt: 2, mostAttempts: 3, image, bootInfo: null } },
  ];
  await using endpoint = await startFaultyEndpoint(null, ({ what }) =>
    what === "instructions" ? (answers.shift() ?? { status: 500 }) : { status: 503 },
  );
  const workDir = mkdtempSync(join(tmpdir(), "reimage-asks-"));
  using _directory = { [Symbol.dispose]: () => rmSync(workDir, { recursive: true }) };
  const config = { url: endpoint.url, token: "secret", tokenFile: null, ca: null, decides: true, timeoutSeconds: 3 };
  await using client = await openClient({
    config: { ...config, machine: randomUUID() },
    workDir,
    runId: randomUUID(),
    version: "1.0.0",
    eventsPath: join(workDir, "events.ndjson"),
    reportPath: join(workDir, "report.json"),
    handedOverPath: null,
    waitSeconds: 2,
    emit: () => {},
    listen: () => {},
    network: Promise.resolve(true),
    requireNotAborted: () => {},
  });
  const found = { bootInfo: null, isDiskNamed: true, readOldFile: async () => null };
  expect(await client.agree(found)).toEqual({ id: "os-2", sha256: null });
});
