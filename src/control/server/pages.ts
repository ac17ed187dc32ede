/** What browsers get: the dashboard, and the page of the API. All of it is in the executable; no page loads anything from elsewhere. */
import { createHash } from "node:crypto";
import { type Context, Hono } from "hono";
import swaggerStyle from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import swagger from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import apiPageScript from "../../../build/dashboard/api-page.js" with { type: "file" };
import dashboardStyle from "../../../build/dashboard/dashboard.css" with { type: "file" };
import dashboard from "../../../build/dashboard/dashboard.js" with { type: "file" };
import { apiPage, dashboardPage } from "./page-texts.ts";

/** Only what came from here may run, look, or be asked. */
const OWN_ONLY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** No script can put text into the page as markup at all. Swagger UI does, after cleaning it. */
const DASHBOARD_POLICY = `${OWN_ONLY}; require-trusted-types-for 'script'; trusted-types 'none'`;

interface Asset {
  readonly type: "text/html" | "text/javascript" | "text/css";
  readonly policy: string;
  readonly read: () => Promise<string>;
}

const page = (text: string, policy: string): Asset => ({ type: "text/html", policy, read: async () => text });
const file = (path: string, type: Asset["type"], policy: string): Asset => ({
  type,
  policy,
  read: async () => await Bun.file(path).text(),
});

const assets: Readonly<Record<string, Asset>> = {
  "/": page(dashboardPage, DASHBOARD_POLICY),
  "/dashboard.js": file(dashboard, "text/javascript", DASHBOARD_POLICY),
  "/dashboard.css": file(dashboardStyle, "text/css", DASHBOARD_POLICY),
  "/api/v1/docs": page(apiPage, OWN_ONLY),
  "/api/v1/docs/api-page.js": file(apiPageScript, "text/javascript", OWN_ONLY),
  "/api/v1/docs/swagger-ui.css": file(swaggerStyle, "text/css", OWN_ONLY),
  "/api/v1/docs/swagger-ui-bundle.js": file(swagger, "text/javascript", OWN_ONLY),
};

/** Routes for all of it; for the root of the server. */
export function createPages(): Hono {
  const pages = new Hono();
  for (const [path, asset] of Object.entries(assets)) {
    const etag = once(
      async () =>
        `"${createHash("sha256")
          .update(await asset.read())
          .digest("base64url")}"`,
    );
    pages.get(path, async (context) => await answer(context, asset, await etag()));
  }
  return pages;
}

/** A browser asks again each time, and is told in a few bytes that nothing has changed: no page is older than its server. */
async function answer(context: Context, { type, policy, read }: Asset, etag: string): Promise<Response> {
  const headers = {
    etag,
    "cache-control": "no-cache",
    "content-security-policy": policy,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
  };
  const known = (context.req.header("if-none-match") ?? "").split(",").map((each) => each.trim().replace(/^W\//, ""));
  if (known.includes(etag)) return context.body(null, 304, headers);
  return context.body(await read(), 200, { ...headers, "content-type": `${type}; charset=utf-8` });
}

/** The first call's result, for every call. */
function once<Result>(make: () => Promise<Result>): () => Promise<Result> {
  let made: Promise<Result> | null = null;
  return () => {
    made ??= make();
    return made;
  };
}
