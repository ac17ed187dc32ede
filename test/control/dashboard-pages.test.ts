// biome-ignore-all lint/performance/useDomNodeTextContent: what a person sees is wanted, not what is in the document
/** How the pages are served: from the endpoint alone, and so that nothing else can be slipped in. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { openBrowser } from "../support/browser.ts";
import { openTestServe, type TestServe } from "../support/control-server.ts";
import { BROWSER_TEST_MS, untilText } from "../support/dashboard.ts";

let serve: TestServe;
beforeAll(async () => {
  serve = await openTestServe();
});
afterAll(async () => await serve[Symbol.asyncDispose]());

const paths = [
  ["/", "text/html"],
  ["/dashboard.js", "text/javascript"],
  ["/dashboard.css", "text/css"],
  ["/api/v1/docs", "text/html"],
  ["/api/v1/docs/api-page.js", "text/javascript"],
  ["/api/v1/docs/swagger-ui.css", "text/css"],
  ["/api/v1/docs/swagger-ui-bundle.js", "text/javascript"],
] as const;

test.each(paths)("%s: its type, what browsers may do with it, and 304 when it is known", async (path, type) => {
  const answer = await fetch(`${serve.url}${path}`);
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe(`${type}; charset=utf-8`);
  expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
  expect(answer.headers.get("referrer-policy")).toBe("no-referrer");
  const policy = (answer.headers.get("content-security-policy") ?? "").split("; ");
  for (const rule of [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "frame-ancestors 'none'",
  ]) {
    expect(policy).toContain(rule);
  }
  expect(policy.join()).not.toContain("unsafe");
  expect((await answer.text()).length).toBeGreaterThan(100);
  const etag = answer.headers.get("etag") ?? "";
  const again = await fetch(`${serve.url}${path}`, { headers: { "if-none-match": `W/"other", ${etag}` } });
  expect([again.status, await again.text()]).toEqual([304, ""]);
  const changed = await fetch(`${serve.url}${path}`, { headers: { "if-none-match": '"other"' } });
  expect(changed.status).toBe(200);
});

test("the dashboard's policy leaves scripts no way to make markup of text", async () => {
  const policy = (await fetch(serve.url)).headers.get("content-security-policy") ?? "";
  expect(policy).toContain("require-trusted-types-for 'script'");
  expect(policy).toContain("trusted-types 'none'");
});

test(
  "the page of the API describes the routes and tries them, and asks nobody else",
  async () => {
    await using browser = await openBrowser();
    await using watched = await browser.openPage(`${serve.url}/api/v1/docs`);
    const { page } = watched;
    const health = page.locator("#operations-default-get_health");
    await health.click();
    await health.getByRole("button", { name: "Try it out" }).click();
    await health.getByRole("button", { name: "Execute" }).click();
    await untilText(health.locator(".live-responses-table tbody"), /"status": "ok"/);
    await page.locator("[id^=operations-default-post_machines_]").first().waitFor();
    expect(watched.complaints).toEqual([]);
    expect(watched.strayRequests).toEqual([]);
  },
  BROWSER_TEST_MS,
);
