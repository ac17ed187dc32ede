import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { linkSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaultPackedName, openOutputs, outputNames, requireFree } from "../../../src/pack/outputs.ts";
import { type TemporaryDirectory, temporaryDirectory } from "../../support/loop-device.ts";
import { refusalOf } from "../../support/refusal-of.ts";

let base: TemporaryDirectory;
const at = (name: string) => join(base.dir, name);
const files = () => readdirSync(base.dir).sort();
const texts = { blockMap: "map", manifest: "manifest", signature: "signature" };
const all = ["os.zst", "os.zst.bmap", "os.zst.manifest.json", "os.zst.manifest.json.minisig"];

beforeEach(async () => {
  base = await temporaryDirectory();
});
afterEach(() => base[Symbol.asyncDispose]());

describe("names", () => {
  test.each([
    ["/a/os.img", "zst", "/a/os.img.zst"],
    ["os.img.bz2", "zst", "os.img.zst"],
    ["os.img.bz2", "bz2", "os.img.bz2"],
    ["./os-1.2.XZ", "bz2", "os-1.2.bz2"],
  ] as const)("%s as %s is %s", (image, format, packed) => expect(defaultPackedName(image, format)).toBe(packed));
});

describe("outputs", () => {
  test("get their names all at once, and leave nothing else", async () => {
    {
      await using outputs = await openOutputs(outputNames(at("os.zst")), false);
      await outputs.append(Buffer.from("one "));
      await outputs.append(Buffer.from("two"));
      expect(files()).toEqual(["os.zst.manifest.json.part", "os.zst.part"]);
      await outputs.commit(texts);
    }
    expect(files()).toEqual(all);
    expect(all.map((name) => readFileSync(at(name), "utf8"))).toEqual(["one two", "map", "manifest", "signature"]);
  });

  test("that are not committed leave nothing, and what was there stays", async () => {
    writeFileSync(at("os.zst"), "older");
    {
      await using outputs = await openOutputs(outputNames(at("os.zst")), false);
      await outputs.append(Buffer.from("new"));
    }
    expect(files()).toEqual(["os.zst"]);
    expect(readFileSync(at("os.zst"), "utf8")).toBe("older");
  });

  test("replace older ones, and a signature that nobody renewed does not stay", async () => {
    for (const name of all) writeFileSync(at(name), "older and longer");
    {
      await using outputs = await openOutputs(outputNames(at("os.zst")), false);
      await outputs.commit({ ...texts, signature: null });
    }
    expect(files()).toEqual(all.slice(0, 3));
    expect(readFileSync(at("os.zst.manifest.json"), "utf8")).toBe("manifest");
  });

  test("overwrite what a killed pack left behind", async () => {
    for (const name of all) writeFileSync(at(`${name}.part`), "left behind by a longer one");
    {
      await using outputs = await openOutputs(outputNames(at("os.zst")), false);
      await outputs.append(Buffer.from("new"));
      await outputs.commit({ ...texts, signature: null });
    }
    expect(files()).toEqual(all.slice(0, 3));
    expect(readFileSync(at("os.zst"), "utf8")).toBe("new");
    expect(readFileSync(at("os.zst.manifest.json"), "utf8")).toBe("manifest");
  });

  test("belong to one pack at a time, which is not disturbed", async () => {
    await using outputs = await openOutputs(outputNames(at("os.zst")), false);
    await outputs.append(Buffer.from("first"));
    const refusal = await refusalOf(openOutputs(outputNames(at("os.zst")), false));
    expect(refusal).toMatchObject({
      code: "output",
      message: expect.stringMatching(/another reimage pack is writing/),
    });
    await outputs.commit(texts);
    expect(readFileSync(at("os.zst"), "utf8")).toBe("first");
  });

  test("an image that is kept is not touched", async () => {
    writeFileSync(at("os.zst"), "the image");
    {
      await using outputs = await openOutputs(outputNames(at("os.zst")), true);
      await outputs.commit(texts);
    }
    expect(files()).toEqual(all);
    expect(readFileSync(at("os.zst"), "utf8")).toBe("the image");
  });

  test("a directory that is not there is named", async () => {
    const names = outputNames(at("missing/os.zst"));
    expect(await refusalOf(openOutputs(names, false))).toMatchObject({
      code: "output",
      message: expect.stringMatching(/missing.os\.zst/),
    });
  });
});

describe("requireFree", () => {
  const options = { force: false, keepsImage: false };
  beforeEach(() => writeFileSync(at("os.img"), "image"));

  test("accepts names that nobody has", async () => {
    await requireFree(outputNames(at("os.zst")), at("os.img"), options);
  });

  test.each(all)("refuses where %s is there, and overwrites it with force", async (name) => {
    writeFileSync(at(name), "");
    const names = outputNames(at("os.zst"));
    expect(await refusalOf(requireFree(names, at("os.img"), options))).toMatchObject({
      code: "output",
      message: `${at(name)} is there already`,
    });
    await requireFree(names, at("os.img"), { ...options, force: true });
  });

  test("never overwrites the image, by whatever name it goes", async () => {
    linkSync(at("os.img"), at("hard.zst"));
    symlinkSync("os.img", at("soft.zst"));
    mkdirSync(at("map"));
    linkSync(at("os.img"), at("map/os.zst.bmap"));
    for (const packed of ["os.img", "hard.zst", "soft.zst", "map/os.zst"]) {
      const refusal = await refusalOf(requireFree(outputNames(at(packed)), at("os.img"), { ...options, force: true }));
      expect(refusal).toMatchObject({ code: "usage", message: expect.stringMatching(/over the image/) });
    }
  });

  test("an image that is kept is no output", async () => {
    await requireFree(outputNames(at("os.img")), at("os.img"), { ...options, keepsImage: true });
  });
});
