/** The description of the API in OpenAPI 3.1, made of the schemas that requests are checked with. */
import { version } from "../../../version.ts";
import type { App } from "./context.ts";

/** Adds GET /openapi.json. @param path where the API lies. */
export function addDocument(app: App, path: string): void {
  app.openAPIRegistry.registerComponent("securitySchemes", "token", { type: "http", scheme: "bearer" });
  const config = {
    openapi: "3.1.0",
    info: { title: "reimage control endpoint", version },
    servers: [{ url: path }],
  };
  let document: unknown = null;
  app.get("/openapi.json", (context) => {
    document ??= withNullableReferences(app.getOpenAPI31Document(config));
    return context.json(document as object);
  });
}

/**
 * A copy where each reference that may be null says so (pure). It is generated as "this, and also this or null", which
 * nothing that is null fulfils.
 */
export function withNullableReferences(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withNullableReferences);
  if (typeof schema !== "object" || schema === null) return schema;
  const { allOf, ...rest } = Object.fromEntries(
    Object.entries(schema).map(([name, value]) => [name, withNullableReferences(value)]),
  );
  if (!Array.isArray(allOf)) return allOf === undefined ? rest : { allOf, ...rest };
  const [reference, more] = allOf;
  const isReference = allOf.length === 2 && typeof reference === "object" && reference !== null && "$ref" in reference;
  const isNullable = isReference && Array.isArray(more?.type) && more.type.includes("null");
  if (!isNullable) return { allOf, ...rest };
  const { type: _, ...words } = more;
  return { anyOf: [reference, { type: "null" }], ...words, ...rest };
}
