/** Every format, and everything that can be wrong with it: refused with the disk as it was, or exactly right. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BareMachine, makeBareImage, openBareMachine } from "../support/bare-machine.ts";
import { readReport } from "../support/cli.ts";
import { faultsOf, formats, type Outcome, type PackedFormat, putManifest } from "../support/image-faults.ts";
import { temporaryDirectory } from "../support/loop-device.ts";
import { expectRefused, type Refusal, runAfresh } from "../support/refusals.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const stack = new AsyncDisposableStack();
let folder: string;
let raw: Buffer;
let untouched: BareMachine;

beforeAll(async () => {
  folder = stack.use(await temporaryDirectory()).dir;
  raw = await makeBareImage(folder);
  untouched = stack.use(await openBareMachine());
});
afterAll(() => stack.disposeAsync());

const sha256 = (data: Buffer) => createHash("sha256").update(data).digest("hex");
const imagePath = () => join(folder, "image");

/** Runs with the file as the image. */
async function expectOutcome({ without = [] }: PackedFormat, file: Buffer, outcome: Outcome): Promise<void> {
  writeFileSync(imagePath(), file);
  const set = { "image.source": imagePath() };
  if ("code" in outcome) return await expectRefusedUntouched(set, outcome, without);
  await using machine = await openBareMachine();
  expect(await runAfresh(machine, set, { without })).toMatchObject({ exitCode: 0, stderr: "" });
  expect(readReport(machine.workDir)).toMatchObject({
    outcome: "success",
    target: "complete",
    image: { sha256: sha256(outcome.written) },
    readback: sha256(outcome.written),
  });
  expect(await machine.firstWrong(outcome.written)).toBeNull();
}

/** The machine is the same for all refusals, which leave it as it was; whichever does not is alone in that. */
async function expectRefusedUntouched(
  set: Readonly<Record<string, string>>,
  refusal: Refusal,
  without: readonly string[] = [],
): Promise<void> {
  const machine = untouched;
  const result = await runAfresh(machine, set, { without });
  const changedAt = await machine.firstChange();
  if (changedAt !== null) untouched = stack.use(await openBareMachine());
  expect({ code: readReport(machine.workDir).code, changedAt }).toEqual({ code: refusal.code, changedAt: null });
  expectRefused(machine, result, refusal);
  expect(String(readReport(machine.workDir).reason)).toContain(imagePath());
}

/** Checks with a manifest of the whole image beside the file. */
async function withManifest(packed: Buffer, rawImage: Buffer, check: () => Promise<void>): Promise<void> {
  const manifest = putManifest(imagePath(), rawImage, packed);
  try {
    await check();
  } finally {
    rmSync(manifest);
  }
}

describe.each(formats.map((format) => [format.name, format] as const))("%s", (_name, format) => {
  test("whole", () => expectOutcome(format, format.pack(raw), { written: raw }));

  test.each(faultsOf(format).map((fault) => [fault.name, fault] as const))("%s", async (_fault, fault) => {
    const { file, outcome } = fault.make(format, raw);
    await expectOutcome(format, file, outcome);
  });

  test("whole, with a manifest", async () => {
    const packed = format.pack(raw);
    await withManifest(packed, raw, () => expectOutcome(format, packed, { written: raw }));
  });

  test("three of it behind each other, with a manifest", async () => {
    const packed = format.pack(raw);
    const file = Buffer.concat([packed, packed, packed]);
    const says = new RegExp(`has ${file.length} bytes; its manifest says ${packed.length}`);
    await withManifest(packed, raw, () => expectOutcome(format, file, { code: "image", says }));
  });
});

describe("a raw image with a manifest", () => {
  const rawFormat = formats.find((format) => format.format === "raw") as PackedFormat;

  test.each(faultsOf(rawFormat).map((fault) => [fault.name, fault] as const))("%s", async (_fault, fault) => {
    const { file } = fault.make(rawFormat, raw);
    const says = /its manifest says|is not the one of its manifest|is empty|is neither/;
    await withManifest(raw, raw, () => expectOutcome(rawFormat, file, { code: "image", says }));
  });

  test("of a size that is no multiple of 512", async () => {
    const image = Buffer.concat([raw, Buffer.alloc(100)]);
    const says = /raw\.sizeBytes: is not a multiple/;
    await withManifest(image, image, async () => {
      writeFileSync(imagePath(), image);
      await expectRefusedUntouched({ "image.source": imagePath() }, { code: "image", says });
    });
  });
});
