/** An open lifeboat on a disk that was armed: what is parked in it, its record, and how it is found. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { resolveConfig } from "../../src/config/resolve.ts";
import { parseSetOption } from "../../src/config/set-option.ts";
import { openBlockDevice } from "../../src/disk/block-device.ts";
import { readDisks } from "../../src/disk/inventory.ts";
import { configAboard } from "../../src/init/boarding.ts";
import { abandonLifeboat } from "../../src/lifeboat/abandon.ts";
import { findLifeboat } from "../../src/lifeboat/find.ts";
import { encodeHeader, type LifeboatHeader } from "../../src/lifeboat/header.ts";
import { bootLayout, mapBulk } from "../../src/lifeboat/layout.ts";
import { type Lifeboat, openLifeboat } from "../../src/lifeboat/lifeboat.ts";
import { readDirect, writeDirect } from "../../src/lifeboat/places/raw-write.ts";
import { parseRecord } from "../../src/lifeboat/record.ts";
import { unpackParked } from "../../src/stages/parking.ts";
import { readLeftTarget, readState } from "../../src/stages/state.ts";
import { type ArmableDisk, type ArmImage, differences, makeArmImage, openArmable } from "../support/armable-disk.ts";
import { attachLoopDevice, runTestCommand } from "../support/loop-device.ts";
import { noise } from "../support/make-disk.ts";
import { refusalOf } from "../support/refusal-of.ts";

const timeoutMs = 120_000;
let image: ArmImage;
let armable: ArmableDisk;
let header: LifeboatHeader;
let lifeboat: Lifeboat;
const at = (name: string): string => join(armable.folder, name);

beforeAll(async () => {
  image = await makeArmImage();
}, timeoutMs);
afterAll(() => image[Symbol.asyncDispose]());
beforeEach(async () => {
  // In a GPT, so that there may be many gaps; none of them holds it whole.
  armable = await openArmable(image, { place: "gap", table: "gpt", gapsMiB: [16, 7, 3, 5] });
  expect(await armable.arm()).toMatchObject({ exitCode: 0 });
  header = await armable.header();
  lifeboat = await openLifeboat(await armable.disk.read(), header);
}, timeoutMs);
afterEach(() => armable[Symbol.asyncDispose](), timeoutMs);

/** Changes the bytes of the disk from one on. */
async function damage(offsetBytes: number): Promise<void> {
  await using device = await openBlockDevice(armable.disk.path, { write: true, exclusive: false });
  const start = offsetBytes - (offsetBytes % 4096);
  const page = await readDirect(device, start, 4096);
  page[offsetBytes - start] = (page[offsetBytes - start] ?? 0) ^ 1;
  await writeDirect(device, page, start);
  await device.sync();
}

const copies = async () => {
  await using device = await openBlockDevice(armable.disk.path, { write: false, exclusive: false });
  const read = async (copy: 0 | 1) =>
    parseRecord(await readDirect(device, header.boot.offsetBytes + bootLayout.records[copy], 4096), header.uuid);
  return [await read(0), await read(1)] as const;
};

function makeFiles(name: string, sizes: Readonly<Record<string, number>>): string {
  mkdirSync(at(name));
  for (const [file, size] of Object.entries(sizes)) writeFileSync(join(at(name), file), noise(file, size));
  return at(name);
}

test(
  "retained files and facts come back from several extents, and nothing else of the disk changes",
  async () => {
    expect(header.bulk.length).toBeGreaterThan(1);
    // More than one extent is needed for these.
    const retained = { "retained.tar": 6_500_001, "retained.tar.ndjson": 4097, savedperms: 0 };
    const facts = { "state.json": 777, "first-mib": 1 << 20 };
    const from = makeFiles("from", { ...retained, ...facts });
    expect(mapBulk(header.bulk, header.layout.retained).length).toBeGreaterThan(1);
    const before = await armable.readAll();
    const parcel = await lifeboat.parkRetained(from, Object.keys(retained));
    const slots = [await lifeboat.parkFacts(from, Object.keys(facts))];
    await lifeboat.advance({ state: "saved", retained: parcel, facts: slots[0] ?? null });
    slots.push(await lifeboat.parkFacts(from, ["state.json"]));
    expect(slots.map((slot) => slot.slot).sort()).toEqual([0, 1]);
    const own = [header.boot, ...header.bulk];
    expect(differences(before, await armable.readAll(), own)).toEqual([]);

    const again = await openLifeboat(await armable.disk.read(), header);
    expect(again.record).toMatchObject({ state: "saved", attempts: 0, facts: slots[0], retained: parcel });
    mkdirSync(at("to"));
    await again.unpackRetained(at("to"));
    await again.unpackFacts(at("to"));
    for (const name of Object.keys({ ...retained, ...facts })) {
      expect(readFileSync(join(at("to"), name)).equals(readFileSync(join(from, name))), name).toBe(true);
    }
    // The image is there still, and what was parked is gone where it is discarded.
    await again.discardRetained();
    const after = await armable.readAll();
    for (const { offsetBytes, sizeBytes } of mapBulk(header.bulk, header.layout.retained)) {
      expect(after.subarray(offsetBytes, offsetBytes + sizeBytes).every((byte) => byte === 0)).toBe(true);
    }
    await using parked = await again.openImage();
    const pieces: Buffer[] = [];
    for await (const piece of parked.read(0, parked.sizeBytes)) pieces.push(Buffer.from(piece));
    expect(Buffer.concat(pieces).equals(readFileSync(image.image))).toBe(true);
    const part: Buffer[] = [];
    for await (const piece of parked.read(100_001, 5000)) part.push(Buffer.from(piece));
    expect(Buffer.concat(part).equals(readFileSync(image.image).subarray(100_001, 105_001))).toBe(true);
  },
  timeoutMs,
);

test(
  "what is more than there is room for is refused, and what is parked and changes is not given back",
  async () => {
    const { layout } = header;
    const from = makeFiles("from", { "retained.tar": layout.retained.sizeBytes, small: 50_000 });
    const full = await refusalOf(lifeboat.parkRetained(from, ["retained.tar"]));
    expect(full.message).toMatch(/has room for \d+ bytes/);
    const retained = await lifeboat.parkRetained(from, ["small"]);
    const facts = await lifeboat.parkFacts(from, ["small"]);
    await lifeboat.advance({ state: "saved", retained, facts });
    mkdirSync(at("to"));
    const [first] = mapBulk(header.bulk, layout.retained);
    await damage((first?.offsetBytes ?? 0) + 40_000);
    expect((await refusalOf(lifeboat.unpackRetained(at("to")))).message).toMatch(/does not hold what was parked/);
    const [slot] = mapBulk(header.bulk, layout.facts[facts.slot]);
    for (const where of [1, 10, 40_000]) {
      await damage((slot?.offsetBytes ?? 0) + where);
      expect((await refusalOf(lifeboat.unpackFacts(at("to")))).message).toMatch(/does not hold what was parked/);
      await damage((slot?.offsetBytes ?? 0) + where); // as it was
    }
    expect(readdirSync(at("to"))).toEqual([]);
    await lifeboat.unpackFacts(at("to"));
    expect(existsSync(join(at("to"), "small"))).toBe(true);
  },
  timeoutMs,
);

test(
  "the record is written in turn into two copies, of which one may be damaged at any time",
  async () => {
    expect(await copies()).toMatchObject([{ seq: 1, state: "armed" }, { state: "armed" }]);
    for (let attempts = 1; attempts <= 5; attempts += 1) {
      const before = await copies();
      await lifeboat.advance({ attempts });
      const after = await copies();
      const changed = [0, 1].filter((copy) => before[copy]?.seq !== after[copy]?.seq);
      expect(changed).toEqual([attempts % 2]);
      expect(after[attempts % 2]).toMatchObject({ seq: attempts + 1, attempts });
    }
    await lifeboat.advance({ state: "saved" });
    expect(lifeboat.record).toMatchObject({ state: "saved", attempts: 0 });
    const [newer, older] = lifeboat.record.seq % 2 === 1 ? ([0, 1] as const) : ([1, 0] as const);
    const byte = (copy: 0 | 1) => header.boot.offsetBytes + bootLayout.records[copy] + 60;
    const disk = await armable.disk.read();
    await damage(byte(older));
    expect((await openLifeboat(disk, header)).record).toMatchObject({ state: "saved" });
    await damage(byte(older));
    await damage(byte(newer));
    const back = await openLifeboat(disk, header);
    expect(back.record).toMatchObject({ state: "armed", attempts: 5 });
    // The next one goes over the damaged copy.
    await back.advance({ state: "saved" });
    expect(await copies()).toMatchObject({ [newer]: { state: "saved" }, [older]: { state: "armed" } });
    for (const copy of [0, 1] as const) await damage(byte(copy));
    expect((await refusalOf(openLifeboat(disk, header))).message).toMatch(/no whole record/);
  },
  timeoutMs,
);

test(
  "abandoned: the old sector is back, nothing retained is left, and the reason is told",
  async () => {
    const from = makeFiles("from", { "retained.tar": 100_000 });
    const retained = await lifeboat.parkRetained(from, ["retained.tar"]);
    await lifeboat.advance({ state: "saved", retained });
    await abandonLifeboat(lifeboat, "the image is not the one that was judged");
    const status = await armable.statusData();
    expect(status).toMatchObject({
      armed: false,
      state: "abandoned",
      nextStart: "the old system",
      lastFailure: "the image is not the one that was judged",
    });
    const disk = await armable.readAll();
    const [room] = mapBulk(header.bulk, header.layout.retained);
    expect(disk.subarray(room?.offsetBytes, (room?.offsetBytes ?? 0) + 100_000).every((byte) => byte === 0)).toBe(true);
    expect(disk.subarray(0, 512).toString("base64")).toBe(header.switching.oldSector);
    expect(await armable.disarm()).toMatchObject({ exitCode: 0 });
  },
  timeoutMs,
);

test(
  "once the run has begun to write there is no way back: neither abandoned nor disarmed",
  async () => {
    for (const state of ["writing", "written", "restored", "committed"] as const) {
      await lifeboat.advance({ state });
      const before = await armable.readAll();
      expect((await refusalOf(abandonLifeboat(lifeboat, "no"))).message).toMatch(/no old OS any more/);
      const refused = await armable.disarm();
      expect(refused).toMatchObject({ exitCode: 3 });
      expect(refused.stderr).toMatch(new RegExp(`has begun to write \\(state ${state}\\)`));
      expect(differences(before, await armable.readAll(), [])).toEqual([]);
    }
  },
  timeoutMs,
);

test(
  "the note has come along into the new system, whose power was cut right after the commit: it is dropped, and nothing else",
  async () => {
    await lifeboat.advance({ state: "committed" });
    await damage(446 + 4); // another table than both
    const before = await armable.readAll();
    const { exitCode, stdout } = await armable.disarm();
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining("nothing was changed")]);
    expect(differences(before, await armable.readAll(), [])).toEqual([]);
    expect(await armable.statusData()).toMatchObject({ armed: false, nextStart: "the system that is installed" });
  },
  timeoutMs,
);

test(
  "wiped: the header goes last, so that what was interrupted is found again",
  async () => {
    const disk = await armable.disk.read();
    const wanted = { uuid: header.uuid, offsetBytes: header.boot.offsetBytes };
    const beyond = header.bulk.map(({ sizeBytes }) => ({ offsetBytes: disk.sizeBytes, sizeBytes }));
    const failing = await openLifeboat(disk, { ...header, bulk: beyond });
    expect((await refusalOf(failing.wipe())).code).toBe("device-io");
    const found = await findLifeboat([disk], wanted);
    expect(found?.header).toEqual(header);
    await (await openLifeboat(disk, found?.header ?? header)).wipe();
    const after = await armable.readAll();
    const { boot, layout, bulk } = header;
    for (const region of [boot, ...[...layout.facts, layout.retained].flatMap((part) => mapBulk(bulk, part))]) {
      const part = after.subarray(region.offsetBytes, region.offsetBytes + region.sizeBytes);
      expect(part.every((byte) => byte === 0)).toBe(true);
    }
  },
  timeoutMs,
);

test(
  "it is found by what it holds, where it was made, and not where it was copied to",
  async () => {
    const disk = await armable.disk.read();
    const wanted = { uuid: header.uuid, offsetBytes: header.boot.offsetBytes };
    expect((await findLifeboat([disk], wanted))?.header).toEqual(header);
    expect(await findLifeboat([disk], { ...wanted, offsetBytes: 0 })).toBeNull();
    expect(await findLifeboat([disk], { ...wanted, uuid: "00000000-0000-4000-8000-000000000000" })).toBeNull();
    // A header that is copied to another place of the disk says itself that it is not its own.
    {
      await using device = await openBlockDevice(disk.path, { write: true, exclusive: false });
      const copy = await readDirect(device, header.boot.offsetBytes, bootLayout.headerBytes);
      await writeDirect(device, copy, disk.sizeBytes - (1 << 20));
    }
    expect(await findLifeboat([disk], { ...wanted, offsetBytes: disk.sizeBytes - (1 << 20) })).toBeNull();
    expect((await findLifeboat([disk], wanted))?.header).toEqual(header);
    await damage(header.boot.offsetBytes + 200);
    expect(await findLifeboat([disk], wanted)).toBeNull();
  },
  timeoutMs,
);

test(
  "a disk that is a copy: the header says which is meant, and where it does not, neither is taken",
  async () => {
    const copy = at("copy.img");
    await runTestCommand(["dd", `if=${armable.disk.path}`, `of=${copy}`, "bs=1M", "conv=sparse", "status=none"]);
    const loop = await attachLoopDevice(copy);
    try {
      const all = await readDisks();
      const disks = all.filter(({ path }) => path === loop || path === armable.disk.path);
      expect(disks).toHaveLength(2);
      const wanted = { uuid: header.uuid, offsetBytes: header.boot.offsetBytes };
      expect((await refusalOf(findLifeboat(disks, wanted))).message).toMatch(
        /several disks hold the same lifeboat, and nothing is written/,
      );
      // With serial numbers they are told apart, whichever comes first.
      const named = { ...header, disk: { ...header.disk, serial: "S1" } };
      for (const path of [loop, armable.disk.path]) {
        await using device = await openBlockDevice(path, { write: true, exclusive: false });
        await writeDirect(device, encodeHeader(named), header.boot.offsetBytes);
      }
      for (const order of [disks, disks.toReversed()]) {
        const seen = order.map((disk) => ({ ...disk, serial: disk.path === loop ? "S2" : "S1" }));
        expect((await findLifeboat(seen, wanted))?.disk.path).toBe(armable.disk.path);
        const others = order.map((disk) => ({ ...disk, serial: disk.path === loop ? "S2" : "S3" }));
        expect((await refusalOf(findLifeboat(others, wanted))).message).toMatch(/several disks hold the same/);
        // Nobody is taken for the disk before it could have appeared; then the only one is.
        const [copy] = others.filter((disk) => disk.path === loop);
        if (copy === undefined) throw new Error("the copy is not there");
        expect(await findLifeboat([copy], wanted, false)).toBeNull();
        expect((await findLifeboat([copy], wanted))?.disk.path).toBe(loop);
        expect(await findLifeboat([{ ...copy, sizeBytes: copy.sizeBytes + 512 }], wanted)).toBeNull();
        const nameless = { ...copy, serial: null };
        expect((await findLifeboat([nameless], wanted, false))?.disk.path).toBe(loop);
      }
    } finally {
      await runTestCommand(["losetup", "--detach", loop]);
    }
  },
  timeoutMs,
);

test("aboard, the image is the lifeboat's, and partitions go by their numbers", () => {
  const named = [parseSetOption("old.root=PARTUUID=abc"), parseSetOption("image.manifest=LABEL=data:/manifest")];
  const config = resolveConfig(readFileSync(armable.config, "utf8"), "config", named);
  const aboard = configAboard(config, { ...header, oldNames: { "PARTUUID=abc": 1 } }, "/dev/nvme0n1");
  expect(aboard.old.root).toBe("/dev/nvme0n1p1");
  expect(aboard.image).toMatchObject({ source: "/etc/reimage/lifeboat/image", manifest: null, mirrors: [] });
});

test("a state that was brought back is in the work directory only once it is this boot's own", async () => {
  const config = resolveConfig(readFileSync(armable.config, "utf8"), "config", []);
  const [from, to] = [makeFiles("from", { "first-mib": 5000 }), makeFiles("to", {})];
  const park = async (state: string): Promise<void> => {
    writeFileSync(join(from, "state.json"), state);
    await lifeboat.advance({ state: "writing", facts: await lifeboat.parkFacts(from, ["first-mib", "state.json"]) });
  };
  // One that nobody can make his own stands for a program that is killed before it has.
  await park("{");
  expect((await refusalOf(unpackParked(lifeboat, to, config))).code).toBe("state");
  expect(readLeftTarget(to)).toBe("untouched");
  await park(JSON.stringify({ configSha256: "another", target: "untouched", saved: {}, written: {}, restored: {} }));
  await unpackParked(lifeboat, to, config);
  expect(readState(to, config)).toMatchObject({
    ...{ target: "partial", written: null, restored: null },
    saved: { target: { path: armable.disk.path } },
  });
  expect(readdirSync(to).sort()).toEqual(["first-mib", "state.json"]);
});

test("nothing is written to a disk that has come by the other one's name", async () => {
  await using other = await openArmable(image, { place: "gap", table: "gpt" });
  const before = await other.readAll();
  const opened = await openLifeboat(await armable.disk.read(), header);
  Object.assign(opened.disk, { path: other.disk.path }); // as the kernel would
  expect(await refusalOf(opened.advance({ attempts: 1 }))).toMatchObject({
    ...{ code: "lifeboat", message: `${other.disk.path} does not hold the lifeboat any more` },
  });
  expect(differences(before, await other.readAll(), [])).toEqual([]);
});
