import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packCommand } from "../../../src/commands/pack.ts";
import { packOptions, parsePackOptions } from "../../../src/commands/pack-options.ts";
import { ReimageError } from "../../../src/errors.ts";

const documentation = readFileSync(join(import.meta.dir, "../../../docs/packing.md"), "utf8");

/** The words with which a command line is refused. */
function refusal(line: string): string {
  try {
    parsePackOptions(line.split(" "));
  } catch (error) {
    if (error instanceof ReimageError && error.code === "usage" && error.hint !== undefined) return error.message;
    throw error;
  }
  throw new Error("it was accepted");
}

describe("the options of pack", () => {
  test("an image alone is packed as zst, unsigned, with nothing asked of the machine", () => {
    expect(parsePackOptions(["os.img"])).toEqual({
      kind: "pack",
      json: false,
      signing: null,
      request: {
        imagePath: "os.img",
        outputPath: null,
        compression: { format: "zst", level: 19 },
        imageId: null,
        version: 0,
        sectorSizeBytes: null,
        leastDiskBytes: null,
        leastRamBytes: null,
        hardware: {},
        unmapped: "zero",
        force: false,
      },
    });
  });

  test("everything at once", () => {
    const line =
      "os.img --output o --compress bz2 --level 3 --image-id kiosk --image-version 7 --sector-size 4096 --least-disk 8GB --least-ram 512MiB --vendor A --vendor B --product C --board D --unmapped any --secret-key k --password-file p --trusted-comment t --json --force";
    expect(parsePackOptions(line.split(" "))).toEqual({
      kind: "pack",
      json: true,
      signing: { secretKeyPath: "k", passwordPath: "p", trustedComment: "t" },
      request: {
        imagePath: "os.img",
        outputPath: "o",
        compression: { format: "bz2", level: 3 },
        imageId: "kiosk",
        version: 7,
        sectorSizeBytes: 4096,
        leastDiskBytes: 8e9,
        leastRamBytes: 512 * 2 ** 20,
        hardware: { vendors: ["A", "B"], products: ["C"], boards: ["D"] },
        unmapped: "any",
        force: true,
      },
    });
  });

  test("keep compresses nothing, and --keygen takes two files", () => {
    expect(parsePackOptions(["os.img", "--compress", "keep"])).toMatchObject({ request: { compression: null } });
    expect(parsePackOptions("--keygen --secret-key a --public-key b".split(" "))).toEqual({
      kind: "keygen",
      request: { secretKeyPath: "a", publicKeyPath: "b", passwordPath: null, force: false },
    });
  });

  test.each([
    ["--json", /needs the image/],
    ["a b", /one image, and 2/],
    ["a --nonsense", /nonsense/],
    ["a --compress gz", /zst, bz2 or keep, not gz/],
    ["a --level 0", /from 1 to 22, not 0/],
    ["a --level 23", /from 1 to 22, not 23/],
    ["a --compress bz2 --level 10", /from 1 to 9, not 10/],
    ["a --compress keep --level 3", /no --level/],
    ["a --compress keep --output b", /no --output/],
    ["a --image-version -1", /image-version/],
    ["a --image-version 1.5", /whole number/],
    ["a --image-version 99999999999999999", /whole number/],
    ["a --image-id \t", /one line/],
    ["a --vendor \t", /--vendor must be/],
    ["a --sector-size 520", /512 or 4096, not 520/],
    ["a --least-disk much", /--least-disk must be a size/],
    ["a --least-ram 1.5GB", /--least-ram must be a size/],
    ["a --unmapped maybe", /zero or any, not maybe/],
    ["a --secret-key k", /needs --image-version/],
    ["a --trusted-comment t", /needs --secret-key/],
    ["a --password-file p", /needs --secret-key/],
    ["a --public-key p", /belongs to --keygen/],
    ["--keygen --secret-key a", /--public-key FILE/],
    ["--keygen --public-key a", /--secret-key FILE/],
    ["--keygen --secret-key a --public-key b os.img", /takes no image/],
    ["--keygen --secret-key a --public-key b --level 3", /--level has nothing to do with --keygen/],
  ])("%s is refused", (line, says) => expect(refusal(line)).toMatch(says));

  test("--help and the documentation name every option there is, and no other", () => {
    const names = Object.keys(packOptions).toSorted();
    const lines = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map((match) => match[1] ?? "");
    expect(lines(packCommand.usage, /^ {2}--([a-z-]+)/gm).toSorted()).toEqual(names);
    expect(lines(documentation, /^\| `--([a-z-]+)[^`]*` \|/gm).toSorted()).toEqual(names);
    for (const text of [packCommand.usage, documentation]) {
      const mentioned = lines(text, /(?<![a-z-])--([a-z][a-z-]+)/g).filter((name) => name in packOptions);
      expect([...new Set(mentioned)].toSorted()).toEqual(names);
    }
  });
});
