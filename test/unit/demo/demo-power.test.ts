/** What `make demo-power` decides and says: the moments of its power cuts, what a disk boots, and its verdict. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeBootState, readBootState } from "../../../scripts/demo/boot-state.ts";
import { isSameKiosk } from "../../../scripts/demo/kiosk-disk.ts";
import { chooseMoment } from "../../../scripts/demo/plug.ts";
import { showSerial } from "../../../scripts/demo/screen.ts";
import { encodeHeader, type LifeboatHeader } from "../../../src/lifeboat/header.ts";
import { bootLayout } from "../../../src/lifeboat/layout.ts";
import { encodeRecord, firstRecord } from "../../../src/lifeboat/record.ts";
import { soleEntrySector } from "../../../src/lifeboat/switch/mbr-sector.ts";
import { createRandom } from "../../support/random.ts";

const MiB = 1 << 20;
const folder = mkdtempSync(join(tmpdir(), "reimage-demo-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("a seed repeats the moments, and another one has others", () => {
  const moments = (seed: number) => {
    const random = createRandom(seed);
    return (["save", "write", "restore"] as const).map((stage) => chooseMoment(stage, random));
  };
  expect(moments(7)).toEqual(moments(7));
  expect(moments(7)).not.toEqual(moments(8));
  expect(moments(7).map(({ stage }) => stage)).toEqual(["save", "write", "restore"]);
});

describe("what a disk boots", () => {
  const uuid = "0b0e5ca1-ab1e-4b0a-8000-000000000042";
  const boot = { offsetBytes: 3 * MiB, sizeBytes: 4 * MiB };
  /** Enough of a header for who looks at it from outside. */
  const header = { uuid, boot } as LifeboatHeader;

  function makeDisk({ bootOffsetBytes = boot.offsetBytes, isActive = true } = {}): string {
    const disk = Buffer.alloc(8 * MiB);
    soleEntrySector({
      sectorSizeBytes: 512,
      volume: { offsetBytes: bootOffsetBytes + bootLayout.volume, sizeBytes: 2 * MiB },
      ...{ type: 0x0c, active: isActive, slot: 0, bootCode: Buffer.alloc(0), identity: Buffer.alloc(6) },
    }).copy(disk);
    encodeHeader(header).copy(disk, bootOffsetBytes);
    const record = (seq: number, attempts: number) => encodeRecord({ ...firstRecord(uuid), seq, attempts });
    record(5, 2).copy(disk, bootOffsetBytes + bootLayout.records[1]);
    record(4, 1).copy(disk, bootOffsetBytes + bootLayout.records[0]);
    const file = join(folder, "disk.img");
    writeFileSync(file, disk);
    return file;
  }

  test("the lifeboat that the active partition is in, with its newer record", () => {
    const found = readBootState(makeDisk());
    expect(found?.record).toMatchObject({ seq: 5, attempts: 2 });
    expect(describeBootState(found)).toBe(
      "the boot sector leads to the lifeboat (4 MiB from MiB 3 on); its record says: armed (starts in this state: 2)",
    );
  });

  test.each([
    ["no partition is active", { isActive: false }],
    ["the header is a copy of one that lies elsewhere", { bootOffsetBytes: 2 * MiB }],
  ])("none, where %s", (_, how) => {
    expect(readBootState(makeDisk(how))).toBeNull();
  });

  test("in words", () => expect(describeBootState(null)).toContain("no lifeboat"));
});

describe("the verdict", () => {
  const before = { "operating system": "old", "machine id": "42" };
  test.each([
    [{ "operating system": "new", "machine id": "42" }, true],
    [{ "operating system": "old", "machine id": "42" }, false],
    [{ "operating system": "new", "machine id": "" }, false],
    [{ "operating system": "new" }, false],
  ] as const)("%j", (after, isSame) => expect(isSameKiosk(before, { ...after })).toBe(isSame));
});

test("of a serial console whole lines are shown, from where it begins to matter, and without what moves a cursor", () => {
  const lines: string[] = [];
  const see = showSerial(/reimage \d/, (line) => void lines.push(line));
  for (const text of ["GRUB\r\n\x1b[2J menu re", "image 1.0\r\n[sa", "ve] \x1b[1mbegins\x1b[0m\n\n", "half"]) see(text);
  expect(lines).toEqual(["reimage 1.0", "[save] begins"]);
});
