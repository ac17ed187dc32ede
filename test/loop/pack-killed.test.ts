/** `reimage pack` ended in the middle: nothing looks complete, and the next one makes what the first would have. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCli, startCli } from "../support/cli.ts";
import { runTestCommand, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { makePackImage } from "../support/pack-image.ts";
import { sha256Of } from "../support/small-kiosk.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const stack = new AsyncDisposableStack();
let base: TemporaryDirectory;
const at = (name: string) => join(base.dir, name);
const finalNames = (folder: string) => readdirSync(at(folder)).filter((name) => !name.endsWith(".part"));

beforeAll(async () => {
  base = stack.use(await temporaryDirectory());
  await makePackImage(at("os.img"), "gpt");
  await runTestCommand(["minisign", "-G", "-W", "-p", at("own.pub"), "-s", at("own.key")]);
});
afterAll(() => stack.disposeAsync());

const packArgs = (folder: string, level = "1") => [
  ...["pack", at("os.img"), "--output", at(`${folder}/os.zst`), "--level", level],
  ...["--image-version", "1", "--secret-key", at("own.key")],
];

test("killed while it packs", async () => {
  mkdirSync(at("killed"));
  const pack = startCli(packArgs("killed", "19"));
  while (!existsSync(at("killed/os.zst.part"))) await Bun.sleep(1);
  pack.kill();
  expect(await pack.finished).toMatchObject({ signal: "SIGKILL" });
  expect(finalNames("killed")).toEqual([]);
  expect(readdirSync(at("killed")).length).toBeGreaterThan(0);

  expect(await runCli(packArgs("killed"))).toMatchObject({ exitCode: 0, stderr: "" });
  mkdirSync(at("undisturbed"));
  await runCli(packArgs("undisturbed"));
  const names = readdirSync(at("undisturbed"));
  expect(readdirSync(at("killed"))).toEqual(names);
  for (const name of names)
    expect(await sha256Of(at(`killed/${name}`))).toBe(await sha256Of(at(`undisturbed/${name}`)));
});

test("killed before any of its renames, with an older image there: no manifest stands beside what is not its own", async () => {
  const main = join(import.meta.dir, "..", "..", "src", "main.ts");
  const older = ["os.zst", "os.zst.bmap", "os.zst.manifest.json", "os.zst.manifest.json.minisig"];
  for (const killedAt of older) {
    const folder = `rename-${killedAt}`;
    mkdirSync(at(folder));
    for (const name of older) writeFileSync(at(`${folder}/${name}`), "older");
    const renames = ["-P", at(`${folder}/${killedAt}.part`), "-e", "trace=rename,renameat,renameat2"];
    const command = ["strace", "-f", "-qq", "-o", at(`${folder}.trace`), ...renames, "-e", "inject=all:signal=KILL"];
    const pack = Bun.spawn([...command, process.execPath, main, ...packArgs(folder), "--force"], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
    });
    await pack.exited;
    expect(readFileSync(at(`${folder}.trace`), "utf8")).toMatch(/^\d+ +rename/m);
    expect({ killedAt, hasManifest: existsSync(at(`${folder}/os.zst.manifest.json`)) }).toEqual({
      killedAt,
      hasManifest: false,
    });
  }
});
