/** What `reimage pack` refuses, and that nothing is left of it. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { appendFileSync, chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeDamaged } from "../support/bad-images.ts";
import { runCli, startCli } from "../support/cli.ts";
import { runTestCommand, type TemporaryDirectory, temporaryDirectory } from "../support/loop-device.ts";
import { makePackImage, packImageSizeBytes } from "../support/pack-image.ts";
import { mountTmpfs } from "../support/tmpfs.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const stack = new AsyncDisposableStack();
let base: TemporaryDirectory;
const at = (name: string) => join(base.dir, name);
const shell = (command: string) => runTestCommand(["bash", "-c", `cd ${base.dir}; ${command}`]);
const outputs = () => readdirSync(at("out"));

beforeAll(async () => {
  base = stack.use(await temporaryDirectory());
  await makePackImage(at("gpt.img"), "gpt");
  await makePackImage(at("mbr.img"), "mbr");
  mkdirSync(at("out"));
  mkdirSync(at("damaged"));
  await shell("bzip2 -k gpt.img; gzip -1 -k gpt.img; xz -0 -k gpt.img; zstd -q -1 gpt.img");
  writeDamaged(at("gpt.img.bz2"), at("damaged"));
});
afterAll(() => stack.disposeAsync());

async function expectRefused(image: string, says: RegExp, options: readonly string[] = [], exitCode = 3) {
  const output = options.includes("keep") ? [] : ["--output", at("out/os.zst"), "--level", "1"];
  const result = await runCli(["pack", image, ...output, ...options]);
  expect(result.stderr).toMatch(says);
  expect(result.stderr).toMatch(/^reimage: what to do: \S/m);
  expect(result.exitCode).toBe(exitCode);
  expect(outputs()).toEqual([]);
}

describe("an image is refused that", () => {
  /** The file that each makes of an image, and what is said of it. */
  const bad: readonly (readonly [what: string, command: string, says: RegExp])[] = [
    ["is not there", "rm -f bad", /bad cannot be opened/],
    ["is a directory", "mkdir bad", /is not a file/],
    ["is empty", "truncate -s 0 bad", /is empty/],
    ["is text", "seq 100000 > bad", /neither bz2, gz, xz nor zst, nor a raw/],
    ["is compressed text", "seq 100000 | xz > bad", /no usable partition table/],
    ["is compressed nothing", "zstd -q < /dev/null > bad", /no usable partition table/],
    ["has no partitions", "truncate -s 8M bad; printf 'label: dos\\n' | sfdisk -q bad", /no partitions/],
    ["is no whole number of sectors", "cp gpt.img bad; truncate -s +100 bad", /no multiple of its sectors of 512/],
    ["is no whole number of sectors, compressed", "(cat gpt.img; echo) | gzip -1 > bad", /no multiple of its sectors/],
    ["is cut off", "head -c 70M gpt.img > bad", /is cut off: its partitions reach/],
    ["was cut off before it was packed", "head -c 70M gpt.img | zstd -q -1 > bad", /is cut off: its partitions reach/],
    ...["gz", "xz", "zst"].flatMap((format) => [
      [
        `lacks the last 10 bytes of its ${format}`,
        `head -c -10 gpt.img.${format} > bad`,
        /bad (is cut off|cannot be decoded)/,
      ] as const,
      [
        `has zeros behind its ${format}`,
        `(cat gpt.img.${format}; head -c 512 /dev/zero) > bad`,
        /bad has something behind its end/,
      ] as const,
    ]),
  ];
  test.each(bad)("%s", async (_what, command, says) => {
    await shell(`rm -rf bad; ${command}`);
    await expectRefused(at("bad"), says);
    await expectRefused(at("bad"), says, ["--compress", "keep"]);
    expect(readdirSync(base.dir).filter((name) => name.startsWith("bad."))).toEqual([]);
  });

  test("is a damaged bz2, in every way that it can be", async () => {
    for (const name of readdirSync(at("damaged")))
      await expectRefused(at(`damaged/${name}`), /image \S*damaged\/\S+ (is|has|cannot)/);
  });

  test("was made for other sectors than --sector-size says", async () => {
    for (const image of ["gpt.img", "gpt.img.zst", "mbr.img"]) {
      await expectRefused(at(image), /not made for sectors of 4096 bytes/, ["--sector-size", "4096"]);
    }
  });

  test("does not fit on --least-disk", async () => {
    await expectRefused(at("gpt.img"), /--least-disk 80000000 is less than/, ["--least-disk", "80MB"]);
  });

  test("changes while it is packed", async () => {
    await shell("cp gpt.img changing.img");
    const pack = startCli(["pack", at("changing.img"), "--output", at("out/os.zst"), "--level", "19"]);
    try {
      while (!outputs().includes("os.zst.part")) await Bun.sleep(1);
      appendFileSync(at("changing.img"), Buffer.alloc(512));
      const result = await pack.finished;
      expect(result).toMatchObject({ exitCode: 3, stderr: expect.stringMatching(/was changed while it was packed/) });
      expect(outputs()).toEqual([]);
    } finally {
      pack.kill();
    }
  });
});

describe("an output is refused that", () => {
  test("is there already, and nothing of it changes", async () => {
    writeFileSync(at("gpt.img.bmap"), "mine");
    const before = readdirSync(base.dir);
    const result = await runCli(["pack", at("gpt.img"), "--compress", "keep"]);
    expect(result).toMatchObject({ exitCode: 3, stderr: expect.stringMatching(/gpt\.img\.bmap is there already/) });
    expect(readdirSync(base.dir)).toEqual(before);
    expect(readFileSync(at("gpt.img.bmap"), "utf8")).toBe("mine");
  });

  test("is the image, with --force too", async () => {
    const before = readFileSync(at("gpt.img.zst"));
    const result = await runCli(["pack", at("gpt.img.zst"), "--force"]);
    expect(result).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/written over the image/) });
    expect(readFileSync(at("gpt.img.zst")).equals(before)).toBe(true);
  });

  test("has no room", async () => {
    await using small = await mountTmpfs(4 << 20);
    const output = join(small.dir, "os.zst");
    const result = await runCli(["pack", at("gpt.img"), "--output", output, "--level", "1"]);
    expect(result).toMatchObject({ exitCode: 3, stderr: expect.stringMatching(/os\.zst cannot be written.*ENOSPC/) });
    expect(readdirSync(small.dir)).toEqual([]);
  });

  test("lies where nothing can be written, and so is an image that cannot be read", async () => {
    chmodSync(base.dir, 0o755);
    chmodSync(at("gpt.img"), 0o644);
    const main = join(import.meta.dir, "..", "..", "src", "main.ts");
    const asNobody = `setpriv --reuid 65534 --regid 65534 --clear-groups ${process.execPath} ${main} pack`;
    const refused = (image: string, says: string) =>
      shell(`! ${asNobody} ${image} --output ${at("out/os.zst")} 2>&1 >/dev/null | grep -v '${says}'; exit 0`);
    expect(await refused(at("gpt.img"), "cannot be written")).toMatch(/what to do/);
    await shell("cp gpt.img secret.img; chmod 600 secret.img");
    expect(await refused(at("secret.img"), "cannot be opened")).toMatch(/what to do/);
    expect(outputs()).toEqual([]);
  });
});

test("two packs of the same output do not meet", async () => {
  const args = ["pack", at("gpt.img"), "--output", at("out/os.zst")];
  const first = startCli([...args, "--level", "19"]);
  try {
    while (!outputs().includes("os.zst.part")) await Bun.sleep(1);
    process.kill(first.pid, "SIGSTOP"); // however long the other one takes
    const second = await runCli(args);
    process.kill(first.pid, "SIGCONT");
    expect(second).toMatchObject({ exitCode: 3, stderr: expect.stringMatching(/another reimage pack is writing/) });
    expect(await first.finished).toMatchObject({ exitCode: 0, stderr: "" });
    expect((await shell(`zstd -dc out/os.zst | wc -c`)).trim()).toBe(String(packImageSizeBytes));
  } finally {
    first.kill();
    await shell("rm -f out/*");
  }
});
