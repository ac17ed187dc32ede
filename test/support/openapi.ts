/** The endpoint's own description, read: its operations, and whether an answer is what it says. */

export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly pattern?: string;
  readonly format?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minimum?: number;
  readonly maximum?: number;
}

interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly required?: boolean;
  readonly schema: Schema;
}

interface Content {
  readonly content?: Readonly<Record<string, { readonly schema: Schema }>>;
}

export interface Operation {
  readonly method: string;
  readonly path: string;
  readonly access: "viewer" | "operator" | "admin" | "machine" | "anyone";
  readonly parameters: readonly Parameter[];
  /** Null: it takes no body. */
  readonly body: Schema | null;
  /** By status; null: there is no body, or one that is not JSON. */
  readonly answers: ReadonlyMap<number, Schema | null>;
}

export interface OpenApi {
  readonly operations: readonly Operation[];
  resolve(schema: Schema): Schema;
  /** What is wrong with a value, as "path: words"; empty where nothing is. Properties that the schema does not name count. */
  problems(schema: Schema, value: unknown): string[];
}

type RawOperation = Content & {
  readonly "x-access": Operation["access"];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: Content;
  readonly responses: Readonly<Record<string, Content>>;
};

/** @param document openapi.json */
export function readOpenApi(document: unknown): OpenApi {
  const { paths, components } = document as {
    readonly paths: Readonly<Record<string, Readonly<Record<string, RawOperation>>>>;
    readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
  };
  const jsonOf = (content: Content | undefined) => content?.content?.["application/json"]?.schema ?? null;

  function resolve(schema: Schema): Schema {
    if (schema.$ref === undefined) return schema;
    const found = components.schemas[schema.$ref.replace("#/components/schemas/", "")];
    if (found === undefined) throw new Error(`there is no ${schema.$ref}`);
    return resolve(found);
  }

  function problems(reference: Schema, value: unknown, at = "$"): string[] {
    const schema = resolve(reference);
    for (const choices of [schema.anyOf, schema.oneOf]) {
      if (choices === undefined) continue;
      const all = choices.map((choice) => problems(choice, value, at));
      return all.some((each) => each.length === 0) ? [] : all.flat();
    }
    if (schema.allOf !== undefined) return schema.allOf.flatMap((each) => problems(each, value, at));
    const types = schema.type === undefined ? null : [schema.type].flat();
    if (types !== null && !types.some((type) => isOfType(type, value))) return [`${at}: no ${types}: ${show(value)}`];
    if (schema.enum !== undefined && !schema.enum.includes(value)) return [`${at}: not one of ${schema.enum}`];
    if (typeof value === "string") return textProblems(schema, value, at);
    if (typeof value === "number") {
      const { minimum = -Infinity, maximum = Infinity } = schema;
      return value >= minimum && value <= maximum ? [] : [`${at}: ${value} is out of range`];
    }
    if (Array.isArray(value)) {
      const { items = {} } = schema;
      return value.flatMap((each, index) => problems(items, each, `${at}[${index}]`));
    }
    if (typeof value === "object" && value !== null) return objectProblems(schema, value, at);
    return [];
  }

  function objectProblems(schema: Schema, value: object, at: string): string[] {
    const { properties = {}, required = [], additionalProperties } = schema;
    const missing = required.filter((name) => !Object.hasOwn(value, name)).map((name) => `${at}: ${name} is missing`);
    const wrong = Object.entries(value).flatMap(([name, each]) => {
      const own = Object.hasOwn(properties, name) ? properties[name] : undefined;
      if (own !== undefined) return problems(own, each, `${at}.${name}`);
      if (typeof additionalProperties === "object") return problems(additionalProperties, each, `${at}.${name}`);
      return additionalProperties === true || schema.type === undefined ? [] : [`${at}: ${name} is not described`];
    });
    return [...missing, ...wrong];
  }

  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, raw]) => ({
      method: method.toUpperCase(),
      path,
      access: raw["x-access"],
      parameters: raw.parameters ?? [],
      body: jsonOf(raw.requestBody),
      answers: new Map(Object.entries(raw.responses).map(([status, content]) => [Number(status), jsonOf(content)])),
    })),
  );
  return { operations, resolve, problems: (schema, value) => problems(schema, value) };
}

function isOfType(type: string, value: unknown): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    case "integer":
      return Number.isSafeInteger(value);
    default:
      return typeof value === type;
  }
}

function textProblems(schema: Schema, value: string, at: string): string[] {
  const { pattern, minLength = 0, maxLength = Infinity, format } = schema;
  if (pattern !== undefined && !new RegExp(pattern).test(value))
    return [`${at}: ${show(value)} is not like ${pattern}`];
  if (value.length < minLength || value.length > maxLength) return [`${at}: ${value.length} characters`];
  const isTime = /^\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(value);
  return format === "date-time" && !isTime ? [`${at}: ${show(value)} is no time`] : [];
}

const show = (value: unknown) => JSON.stringify(value)?.slice(0, 100);
