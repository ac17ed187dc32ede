/** What README.md tells people to type exists. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { resolveConfig } from "../../src/config/resolve.ts";
import { parseRetentionList } from "../../src/retention/list.ts";

const project = join(import.meta.dir, "..", "..");
const readme = readFileSync(join(project, "README.md"), "utf8");
const makefile = readFileSync(join(project, "Makefile"), "utf8");
const blocks = [...readme.matchAll(/^ *```(\w*)\n([\s\S]*?)^ *```$/gm)].map(([, language, text]) => ({
  language,
  text: text ?? "",
}));
const dedent = (text: string) => text.replace(/^ {3}/gm, "");

test("every make target that it names is in the Makefile", () => {
  const targets = [...readme.matchAll(/(?:^\s*|`)make ([a-z-]+)/gm)].map((match) => match[1]);
  expect(targets).toContain("demo");
  for (const target of targets) expect(makefile).toMatch(new RegExp(`^${target}:`, "m"));
});

test("every subcommand that it names answers --help", () => {
  const typed = blocks.filter((block) => block.language === "sh").flatMap(({ text }) => text.split("\n"));
  const commands = typed.flatMap((line) => /^ *reimage ([a-z]+)/.exec(line)?.[1] ?? []);
  const mentioned = [...readme.matchAll(/(?:`|build\/)reimage ([a-z]+)/g)].map((match) => match[1] ?? "");
  const names = new Set([...commands, ...mentioned]);
  expect([...names]).toEqual(expect.arrayContaining(["pack", "plan", "arm", "disarm", "status"]));
  for (const name of names) {
    const result = Bun.spawnSync([process.execPath, join(project, "src", "main.ts"), name, "--help"]);
    expect(result.exitCode).toBe(0);
    expect(result.stdout.toString()).toContain(`reimage ${name}`);
  }
}, 120_000);

test("its configuration resolves", () => {
  const yaml = blocks.filter((block) => block.language === "yaml");
  expect(yaml.length).toBeGreaterThan(0);
  for (const { text } of yaml) {
    expect(resolveConfig(dedent(text), "README.md", []).image.source).toBe("LABEL=data:/images/os.img.zst");
  }
});

test("its retention list parses", () => {
  const list = blocks.find((block) => block.text.includes("@required"));
  expect(parseRetentionList(dedent(list?.text ?? ""), "README.md")).toHaveLength(5);
});

test("every file that it links to exists", () => {
  const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map((match) => match[1] ?? "");
  expect(links.length).toBeGreaterThan(0);
  for (const link of links) expect(existsSync(join(project, link)) ? link : `no ${link}`).toBe(link);
});
