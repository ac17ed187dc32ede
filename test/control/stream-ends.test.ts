/** A page that is closed leaves nothing behind in an endpoint that runs for months. */
import { expect, test } from "bun:test";
import { getEventListeners } from "node:events";
import { openTestServe } from "../support/control-server.ts";

test("streams that have ended are forgotten", async () => {
  await using serve = await openTestServe();
  const { stopping } = serve.serve.endpoint;
  const headers = { authorization: `Bearer ${serve.adminToken}` };
  const before = getEventListeners(stopping, "abort").length;
  for (let stream = 0; stream < 5; stream += 1) {
    const abort = new AbortController();
    const response = await fetch(`${serve.url}/api/v1/stream`, { headers, signal: abort.signal });
    await response.body?.getReader().read();
    abort.abort();
  }
  while (getEventListeners(stopping, "abort").length > before) await Bun.sleep(20);
  expect(getEventListeners(stopping, "abort")).toHaveLength(before);
});
