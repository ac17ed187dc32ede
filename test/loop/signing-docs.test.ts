/** What docs/signing.md tells people to type works, in their order, with the real minisign. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parsePublicKeys, verifyMinisign } from "../../src/image/signing/minisign.ts";
import { temporaryDirectory } from "../support/loop-device.ts";
import { makePackImage } from "../support/pack-image.ts";

setDefaultTimeout(300_000); // how long a machine takes says nothing about what is tested

const project = join(import.meta.dir, "..", "..");
const program = join(project, "build", "reimage");
const commands = [
  ...readFileSync(join(project, "docs", "signing.md"), "utf8").matchAll(/^ *```sh\n([\s\S]*?)^ *```$/gm),
]
  .flatMap((block) => (block[1] ?? "").split("\n"))
  .map((line) => line.trim())
  .filter((line) => line !== "");

test("the commands of docs/signing.md, from the first key to the change of keys", async () => {
  await using directory = await temporaryDirectory();
  const { dir } = directory;
  await makePackImage(join(dir, "os.img"), "gpt");
  writeFileSync(join(dir, "password.txt"), "long and secret\n");
  mkdirSync(join(dir, "bin"));
  // Quick levels: what is compressed how well is not the question.
  writeFileSync(
    join(dir, "bin", "reimage"),
    `#!/bin/sh\ncase "$*" in *--keygen*) exec ${program} "$@";; *) exec ${program} "$@" --level 3;; esac\n`,
  );
  chmodSync(join(dir, "bin", "reimage"), 0o755);
  const env = { ...process.env, PATH: `${join(dir, "bin")}:${process.env.PATH}` };

  // The key is there already, made by the line before: minisign would make another in its place.
  const made = commands.filter((line) => line.startsWith("minisign -G"));
  expect(made).toEqual(["minisign -G -p image.pub -s image.key"]);
  for (const command of commands) {
    if (made.includes(command)) continue;
    const result = Bun.spawnSync(["sh", "-ec", command], { cwd: dir, env, stdin: Buffer.from("long and secret\n") });
    const said = `${result.stdout}${result.stderr}`;
    expect({ command, exitCode: result.exitCode, said: result.exitCode === 0 ? "" : said }).toEqual({
      command,
      exitCode: 0,
      said: "",
    });
  }
  const read = (name: string) => readFileSync(join(dir, name), "utf8");
  // The image is signed with the new key in the end, and a machine that has both keys takes it, as does one with the new one.
  const manifest = readFileSync(join(dir, "os.img.zst.manifest.json"));
  const both = parsePublicKeys(`${read("image.pub")}${read("new.pub")}`);
  const [, newKey] = both;
  const { keyId } = verifyMinisign(both, read("os.img.zst.manifest.json.minisig"), manifest);
  expect(keyId).toBe(newKey?.keyId as string);
  expect(read("overlay/etc/reimage/image.pub")).toBe(read("new.pub"));
});
