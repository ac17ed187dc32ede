/** Holds the layout to what docs/architecture.md says of it. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const project = join(import.meta.dir, "..", "..");
const sources = readdirSync(join(project, "src"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => join("src", path));

/** With the dashboard's components. */
const everySource = readdirSync(join(project, "src"), { recursive: true, encoding: "utf8" })
  .filter((path) => /\.tsx?$/.test(path))
  .map((path) => join("src", path));

/** What each folder of src/ may import from, besides itself and the files directly in src/. */
const allowed: Record<string, readonly string[]> = {
  commands: [
    "control",
    "init",
    "arming",
    "one-shot",
    "lifeboat",
    "firmware",
    "stages",
    "pack",
    "http",
    "image",
    "disk",
    "retention",
    "config",
    "report",
    "system",
  ],
  init: ["stages", "lifeboat", "disk", "config", "report", "system"],
  arming: ["stages", "one-shot", "lifeboat", "firmware", "image", "disk", "config", "report", "system"],
  stages: ["lifeboat", "firmware", "http", "image", "disk", "retention", "config", "report", "system"],
  pack: ["image", "disk", "system"],
  "one-shot": ["firmware", "disk", "report", "system"],
  lifeboat: ["image", "disk", "report", "system"],
  firmware: ["disk", "system"],
  control: ["http", "disk", "config", "report", "system"],
  http: ["image", "report"],
  image: ["disk", "system"],
  disk: ["report", "config", "system"],
  retention: ["system"],
  config: [],
  report: [],
  system: [],
};

/** The one file that may import a package. */
const owners: Record<string, string> = {
  execa: "src/system/commands.ts",
  "cli-progress": "src/report/terminal-bar.ts",
  "tar-stream": "src/retention/tar.ts",
  "unbzip2-stream": "src/image/unbzip2.ts",
  saxes: "src/image/manifest/block-map-xml.ts",
  "bun:ffi": "src/system/libc.ts",
  "cli-table3": "src/commands/fleet/output.ts",
};

function importsOf(path: string): string[] {
  const text = readFileSync(join(project, path), "utf8");
  const atStart = text.matchAll(/^\s*(?:import|export)\b[^;]*?from "([^"]+)"/gm);
  const later = text.matchAll(/\bimport\("([^"]+)"\)/g);
  return [...atStart, ...later].map((match) => match[1] ?? "");
}

const folderOf = (path: string) => (path.split("/").length > 2 ? (path.split("/")[1] ?? "") : "");

test.each(sources)("%s imports only downwards", (path) => {
  const folder = folderOf(path);
  for (const name of importsOf(path)) {
    if (!name.startsWith(".")) {
      if (name in owners) expect(path).toBe(owners[name] as string);
      continue;
    }
    const target = relative(project, join(project, dirname(path), name));
    if (!target.startsWith("src/") || folder === "") continue;
    const to = folderOf(target);
    const isAllowed = to === "" || to === folder || (allowed[folder] ?? []).includes(to);
    expect(isAllowed ? "allowed" : `${path} imports ${target}`).toBe("allowed");
  }
});

test("a stage imports no other stage's work", () => {
  const stages = ["save", "write", "restore"];
  for (const stage of stages) {
    const text = readFileSync(join(project, "src", "stages", `${stage}.ts`), "utf8");
    for (const other of stages.filter((each) => each !== stage)) {
      expect(text).not.toMatch(new RegExp(`^import (?!type ).*from "./${other}.ts"`, "m"));
    }
  }
});

test("http knows of images what a source of bytes looks like, and no more", () => {
  const imports = sources.filter((path) => folderOf(path) === "http").flatMap(importsOf);
  const ofImage = imports.filter((name) => name.startsWith("../image/"));
  expect([...new Set(ofImage)]).toEqual(["../image/byte-source.ts"]);
});

/** What each part of src/control/ may import of src/; and the rest of src/ of control's server: nothing, but for the commands. */
const controlParts: Record<string, RegExp> = {
  "src/control/protocol/": /^src\/(control\/protocol\/|report\/events|errors)/,
  "src/control/client/": /^src\/(?!control\/(server|dashboard))/,
  "src/control/view/": /^src\/(control\/(view|protocol)\/|report\/format|errors)/,
  "src/control/dashboard/": /^src\/(control\/(dashboard|view|protocol)\/|report\/format|errors)/,
  "src/control/server/decisions/": /^src\/(control\/(protocol|server\/decisions)\/|report\/events|errors)/,
  "src/control/server/database/": /^src\/(control\/(protocol|server\/(database|decisions))\/|report\/events|errors)/,
  "src/control/server/operations/": /^src\/(?!control\/server\/(api|facades|serve|listen|pages))/,
  "src/control/server/power/": /^src\/(control\/(protocol|server\/power)\/|config\/nearest|system\/|errors)/,
  "src/control/server/pxelinux/": /^src\/(control\/(protocol|server\/pxelinux)\/|system\/|errors)/,
};

test.each(Object.keys(controlParts))("%s imports what it may", (folder) => {
  const mine = everySource.filter((path) => path.startsWith(folder));
  expect(mine).not.toEqual([]);
  for (const path of mine) {
    for (const name of importsOf(path).filter((each) => each.startsWith("."))) {
      const target = relative(project, join(project, dirname(path), name));
      expect(`${path} imports ${target}`).toMatch(new RegExp(` imports (${controlParts[folder]?.source.slice(1)})`));
    }
  }
});

test("the endpoint is started by its command, and nothing else knows it", () => {
  const knowing = sources.filter((path) => {
    const names = importsOf(path).map((name) => relative(project, join(project, dirname(path), name)));
    return !path.startsWith("src/control/server/") && names.some((name) => name.startsWith("src/control/server/"));
  });
  expect(knowing.filter((path) => !path.startsWith("src/commands/serve"))).toEqual([]);
});

/** Packages that a part of the endpoint owns. */
const parts: Record<string, RegExp> = {
  kysely: /^src\/control\/server\/(database|operations|api\/app)/,
  pg: /^src\/control\/server\/database\//,
  "bun:sqlite": /^src\/control\/server\/database\//,
  "ipaddr.js": /^src\/(control\/server\/security\/|commands\/serve-options)/,
  hono: /^src\/control\/server\//,
  "@hono/zod-openapi": /^src\/control\/server\/api\/context/,
  preact: /^src\/control\/dashboard\//,
};

test.each(Object.keys(parts))("%s stays where it belongs", (name) => {
  const users = everySource.filter((path) =>
    importsOf(path).some((each) => each === name || each.startsWith(`${name}/`)),
  );
  expect(users).not.toEqual([]);
  expect(users.filter((path) => !parts[name]?.test(path))).toEqual([]);
});

test("zx stays on the build host", () => {
  expect(sources.filter((path) => importsOf(path).includes("zx"))).toEqual([]);
});
