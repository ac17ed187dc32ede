/** `fleet images` and `fleet configurations`: what machines can be installed with, and can boot. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { bootConfigurationSchema } from "../../control/protocol/boot.ts";
import { imageSchema } from "../../control/protocol/image.ts";
import { ReimageError } from "../../errors.ts";
import { exitStatus } from "../command.ts";
import {
  type Call,
  requireText,
  requireWords,
  type Subcommand,
  textOf,
  type Values,
  wrongUsage,
} from "./subcommand.ts";

const imagesSchema = z.object({ images: z.array(imageSchema) });
const configurationsSchema = z.object({ configurations: z.array(bootConfigurationSchema) });
const manifestSchema = z.object({ imageId: z.string(), raw: z.object({ sha256: z.string() }) });

const text = { type: "string" } as const;

export const imagesCommand: Subcommand = {
  options: { url: text, sha256: text, readback: text, description: text, manifest: text },
  async run(call) {
    const [verb, ...words] = call.words;
    if (verb === undefined) return await listImages(call);
    if (verb === "put") return await putImage({ ...call, words });
    if (verb === "remove") return await remove({ ...call, words }, "image", "/images");
    throw wrongUsage(`images ${verb}: expected put, remove, or nothing`);
  },
};

async function listImages({ client, output }: Call): Promise<number> {
  const { value, text: said } = await client.get("/images", imagesSchema);
  if (output.isJson) output.json(said);
  else {
    const rows = value.images.map(({ id, sha256, url, description }) => [id, sha256 ?? "-", url ?? "-", description]);
    output.table(["IMAGE", "SHA256", "URL", "DESCRIPTION"], rows);
  }
  return exitStatus.done;
}

async function putImage({ client, output, values, words }: Call): Promise<number> {
  const manifest = readManifest(textOf(values, "manifest"));
  const [id = ""] =
    manifest !== null && words.length === 0 ? [manifest.imageId] : requireWords(words, 1, "one image id");
  if (manifest !== null && manifest.imageId !== id) {
    throw wrongUsage(`the manifest is that of ${manifest.imageId}, and ${id} was given`);
  }
  const given = ["url", "sha256", "readback", "description"].flatMap((name) => {
    const value = textOf(values, name);
    return value === undefined ? [] : [[name, value] as const];
  });
  const image = { id, ...(manifest === null ? {} : { sha256: manifest.raw.sha256 }), ...Object.fromEntries(given) };
  const body = check(imageSchema, image);
  const { value, text: said } = await client.send("PUT", `/images/${encodeURIComponent(id)}`, imageSchema, { body });
  if (output.isJson) output.json(said);
  else output.line(`image ${value.id} is kept`);
  return exitStatus.done;
}

function readManifest(path: string | undefined): z.infer<typeof manifestSchema> | null {
  if (path === undefined) return null;
  try {
    return manifestSchema.parse(JSON.parse(readText(path, "--manifest")));
  } catch (cause) {
    if (cause instanceof ReimageError) throw cause;
    throw new ReimageError("usage", `${path} is no manifest of reimage pack`, { hint: "check --manifest" });
  }
}

export const configurationsCommand: Subcommand = {
  options: { kernel: text, initrd: { type: "string", multiple: true }, cmdline: text, text, bootloader: text },
  async run(call) {
    const [verb, ...words] = call.words;
    if (verb === undefined) return await listConfigurations(call);
    if (verb === "put") return await putConfiguration({ ...call, words });
    if (verb === "remove") return await remove({ ...call, words }, "boot configuration", "/boot-configurations");
    throw wrongUsage(`configurations ${verb}: expected put, remove, or nothing`);
  },
};

async function listConfigurations({ client, output }: Call): Promise<number> {
  const { value, text: said } = await client.get("/boot-configurations", configurationsSchema);
  if (output.isJson) output.json(said);
  else {
    const rows = value.configurations.map((each) => {
      if (each.kind === "linux")
        return [each.name, "linux", [each.kernel, ...each.initrd, each.cmdline].join(" ").trim()];
      return [
        each.name,
        each.kind,
        each.kind === "text" ? `${each.bootloader}, ${each.content.length} characters` : "",
      ];
    });
    output.table(["CONFIGURATION", "KIND", "WHAT"], rows);
  }
  return exitStatus.done;
}

async function putConfiguration({ client, output, values, words }: Call): Promise<number> {
  const [name = ""] = requireWords(words, 1, "one name");
  const body = check(bootConfigurationSchema, { name, ...configurationOf(values) });
  const path = `/boot-configurations/${encodeURIComponent(name)}`;
  const { value, text: said } = await client.send("PUT", path, bootConfigurationSchema, { body });
  if (output.isJson) output.json(said);
  else output.line(`boot configuration ${value.name} is kept`);
  return exitStatus.done;
}

function configurationOf(values: Values): Record<string, unknown> {
  const file = textOf(values, "text");
  if (file !== undefined) {
    if (values.kernel !== undefined) throw wrongUsage("a configuration has either --kernel or --text");
    return { kind: "text", bootloader: requireText(values, "bootloader"), content: readText(file, "--text") };
  }
  return {
    kind: "linux",
    kernel: requireText(values, "kernel"),
    initrd: values.initrd ?? [],
    cmdline: textOf(values, "cmdline") ?? "",
  };
}

async function remove({ client, output, words, confirm }: Call, what: string, path: string): Promise<number> {
  const [id = ""] = requireWords(words, 1, `one ${what}`);
  await confirm(`Forget the ${what} ${id}.`);
  await client.send("DELETE", `${path}/${encodeURIComponent(id)}`, null);
  output.note(`${what} ${id} is forgotten`);
  return exitStatus.done;
}

/** Wrong words are told before the server is asked. @throws ReimageError `usage` */
function check<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw wrongUsage(result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; "));
}

function readText(path: string, option: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new ReimageError("usage", `${path} cannot be read`, { cause, hint: `check ${option}` });
  }
}
