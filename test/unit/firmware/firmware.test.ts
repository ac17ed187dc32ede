import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ReimageError } from "../../../src/errors.ts";
import {
  bootEntryName,
  clearBootNext,
  createBootEntry,
  prependToBootOrder,
  readBootEntries,
  readBootNext,
  readBootOrder,
  removeBootEntry,
  setBootNext,
  writeBootOrder,
} from "../../../src/firmware/boot-entries.ts";
import { formatDevicePath, parseDevicePath } from "../../../src/firmware/device-path.ts";
import { type EfiVariables, efiVariables, vendors } from "../../../src/firmware/efi-variables.ts";
import { findBootVariables, readFirmware } from "../../../src/firmware/firmware.ts";
import { formatLoadOption, parseLoadOption } from "../../../src/firmware/load-option.ts";
import { temporaryDirectory } from "../../support/loop-device.ts";
import { createRandom } from "../../support/random.ts";

const uuid = "9a2d3b10-2a3e-4d58-9d4c-1b2c3d4e5f60";
const partition = { number: 2, startLba: 2048, sectors: 81920, uuid };
const entry = { description: "reimage", partition, file: "/EFI/reimage/loader.efi" };
const debianPath =
  // HD(1,GPT,…,0x800,0x100000)/File(\EFI\debian\shimx64.efi), laid out by hand after the specification, 10.3.5
  "04012a00" +
  "01000000" +
  "0008000000000000" +
  "0000100000000000" +
  "103b2d9a3e2a584d9d4c1b2c3d4e5f60" +
  "0202" +
  `04043400${Buffer.from("\\EFI\\debian\\shimx64.efi\0", "utf16le").toString("hex")}` +
  "7fff0400";

/** Text as firmware stores it. */
const wide = (text: string): Buffer => Buffer.from(`${text}\0`, "utf16le");

async function withVariables(use: (variables: EfiVariables, directory: string) => Promise<void>): Promise<void> {
  await using temporary = await temporaryDirectory();
  await use(efiVariables(temporary.dir), temporary.dir);
}

test("a boot entry as an installer writes it", () => {
  const option = Buffer.concat([
    Buffer.from("01000000", "hex"),
    Buffer.from([debianPath.length / 2, 0]),
    wide("debian"),
    Buffer.from(debianPath, "hex"),
    Buffer.from("extra"),
  ]);
  const parsed = parseLoadOption(option);
  if (parsed === null) throw new Error("not parsed");
  expect(parsed).toMatchObject({ active: true, description: "debian", optionalData: Buffer.from("extra") });
  expect(formatLoadOption(parsed).equals(option)).toBe(true);
  const first = { number: 1, startLba: 2048, sectors: 0x100000, uuid };
  expect(parseDevicePath(parsed.devicePath)).toEqual({ partition: first, file: "\\EFI\\debian\\shimx64.efi" });
  expect(formatDevicePath(first, "/EFI/debian/shimx64.efi").toString("hex")).toBe(debianPath);
});

test("a partition of an MBR, and a path in front of which the hardware is named", () => {
  const mbr = { number: 12, startLba: 63, sectors: 2 ** 31, uuid: "0a1b2c3d-0c" };
  const short = formatDevicePath(mbr, "\\x.efi");
  expect(parseDevicePath(short)).toEqual({ partition: mbr, file: "\\x.efi" });
  expect(short.toString("hex", 40, 42)).toBe("0101");
  expect(parseDevicePath(short.subarray(0, -6))).toEqual({ partition: mbr, file: null }); // cut off
  const hardware = Buffer.from("02010c00d041030a00000000" + "010106000201", "hex"); // PciRoot(0)/Pci(1,2)
  expect(parseDevicePath(Buffer.concat([hardware, short]))).toEqual({ partition: mbr, file: "\\x.efi" });
  expect(parseDevicePath(hardware)).toEqual({ partition: null, file: null });
});

test("garbage names nothing, and breaks nothing", () => {
  const whole = formatLoadOption({
    active: true,
    description: "d",
    devicePath: formatDevicePath(partition, "/a/b"),
    optionalData: Buffer.from("o"),
  });
  for (let seed = 1; seed <= 5000; seed += 1) {
    const random = createRandom(seed);
    const broken = Buffer.from(whole.subarray(0, random.chance(0.3) ? random.below(whole.length) : whole.length));
    for (let change = random.below(6); change > 0 && broken.length > 0; change -= 1) {
      broken.writeUInt8(random.below(256), random.below(broken.length));
    }
    const option = parseLoadOption(broken);
    if (option !== null) parseDevicePath(option.devicePath);
    parseDevicePath(broken);
  }
  expect(parseLoadOption(whole.subarray(0, 5))).toBeNull();
  expect(parseLoadOption(whole.subarray(0, 20))).toBeNull();
});

test("variables are written whole, replaced whole, and removed", async () => {
  await withVariables(async (variables, directory) => {
    expect(await variables.read("Boot0000")).toBeNull();
    await variables.write("Boot0000", Buffer.from("a longer value"));
    await variables.write("Boot0000", Buffer.from("short"));
    expect(await variables.read("Boot0000")).toEqual({ attributes: 7, data: Buffer.from("short") });
    await variables.write("LoaderEntryOneShot", wide("x"), { vendor: vendors.loader });
    expect(readdirSync(directory).sort()).toEqual([
      `Boot0000-${vendors.global}`,
      `LoaderEntryOneShot-${vendors.loader}`,
    ]);
    expect(await variables.names()).toEqual(["Boot0000"]);
    expect(await variables.names(vendors.loader)).toEqual(["LoaderEntryOneShot"]);
    await variables.remove("Boot0000");
    await variables.remove("Boot0000");
    expect(await variables.names()).toEqual([]);
    writeFileSync(join(directory, `Empty-${vendors.global}`), ""); // somebody created it and did not write
    expect(await variables.read("Empty")).toBeNull();
  });
});

test("a variable that cannot be read or written names itself", async () => {
  await withVariables(async (variables, directory) => {
    mkdirSync(join(directory, `Boot0000-${vendors.global}`));
    const refusal = await variables.read("Boot0000").then(
      () => null,
      (error: unknown) => error,
    );
    expect(refusal).toBeInstanceOf(ReimageError);
    expect(String(refusal)).toContain("cannot read the firmware variable Boot0000");
    const nowhere = efiVariables(join(directory, "nowhere"));
    expect(await nowhere.names()).toEqual([]);
    await expect(nowhere.write("Boot0000", Buffer.from("x"))).rejects.toThrow("cannot write the firmware variable");
  });
});

test("entries do not pile up, and take the first free number", async () => {
  await withVariables(async (variables) => {
    for (const name of ["Boot0000", "Boot0001", "Boot0003"]) await variables.write(name, Buffer.from("unreadable"));
    const id = await createBootEntry(variables, entry);
    expect(id).toBe(2);
    expect(await createBootEntry(variables, { ...entry, file: "/EFI/reimage/other.efi" })).toBe(2);
    const [own, ...others] = (await readBootEntries(variables)).filter(({ description }) => description === "reimage");
    expect(others).toEqual([]);
    if (own === undefined) throw new Error("no entry");
    expect(parseDevicePath(own.devicePath)).toEqual({ partition, file: "\\EFI\\reimage\\other.efi" });
    const kernel = await createBootEntry(variables, { ...entry, description: "kernel", commandLine: "quiet é" });
    const found = (await readBootEntries(variables)).find((each) => each.id === kernel);
    expect(found?.optionalData.equals(wide("quiet é"))).toBe(true);
  });
  expect([bootEntryName(0), bootEntryName(0xbeef)]).toEqual(["Boot0000", "BootBEEF"]);
});

test("the order, and the entry that is booted once", async () => {
  await withVariables(async (variables) => {
    expect(await readBootOrder(variables)).toEqual([]);
    await writeBootOrder(variables, [3, 0x10, 1]);
    await prependToBootOrder(variables, 1);
    expect(await readBootOrder(variables)).toEqual([1, 3, 0x10]);
    const id = await createBootEntry(variables, entry);
    await prependToBootOrder(variables, id);
    await setBootNext(variables, id);
    expect(await readBootNext(variables)).toBe(id);
    await removeBootEntry(variables, id);
    await removeBootEntry(variables, id);
    expect(await readBootOrder(variables)).toEqual([1, 3, 0x10]);
    expect(await readBootNext(variables)).toBeNull();
    await setBootNext(variables, 3);
    await removeBootEntry(variables, 1);
    expect(await readBootNext(variables)).toBe(3); // somebody else's
    await clearBootNext(variables);
    expect(await readBootNext(variables)).toBeNull();
    await writeBootOrder(variables, []);
    expect(await variables.names()).toEqual([]);
  });
});

/** A /sys/firmware with the variables given; `attributes` before each. */
async function withFirmware(
  files: Readonly<Record<string, Buffer>>,
  use: (directory: string) => Promise<void>,
  bits = "64\n",
): Promise<void> {
  await using temporary = await temporaryDirectory();
  mkdirSync(join(temporary.dir, "efi/efivars"), { recursive: true });
  writeFileSync(join(temporary.dir, "efi/fw_platform_size"), bits);
  for (const [name, data] of Object.entries(files)) {
    const attributes = Buffer.from([7, 0, 0, 0]);
    writeFileSync(join(temporary.dir, "efi/efivars", name), Buffer.concat([attributes, data]));
  }
  await use(temporary.dir);
}

const global = (name: string): string => `${name}-${vendors.global}`;
const option = (devicePath: Buffer): Buffer =>
  formatLoadOption({ active: true, description: "x", devicePath, optionalData: Buffer.alloc(0) });

test("which firmware it is, and from where it booted", async () => {
  await using temporary = await temporaryDirectory();
  expect(await readFirmware(temporary.dir)).toEqual({ kind: "bios" });
  const current = { [global("BootCurrent")]: Buffer.from([0x0a, 0]) };
  const booted = { ...current, [global("Boot000A")]: option(formatDevicePath(partition, "/EFI/old/loader.efi")) };
  await withFirmware({ ...booted, [global("SecureBoot")]: Buffer.from([1]) }, async (directory) => {
    const bootedFrom = { partitionUuid: uuid, path: "\\EFI\\old\\loader.efi" };
    expect(await readFirmware(directory)).toEqual({ kind: "uefi", secureBoot: true, bitness: 64, bootedFrom });
  });
  // The firmware's own entry for a whole disk: the loader knows the partition.
  const disk = { ...current, [global("Boot000A")]: option(Buffer.from("7fff0400", "hex")) };
  const loader = { [`LoaderDevicePartUUID-${vendors.loader}`]: wide(uuid.toUpperCase()) };
  await withFirmware(
    { ...disk, ...loader, [global("SecureBoot")]: Buffer.from([0]) },
    async (directory) => {
      const bootedFrom = { partitionUuid: uuid, path: null };
      expect(await readFirmware(directory)).toEqual({ kind: "uefi", secureBoot: false, bitness: 32, bootedFrom });
    },
    "32\n",
  );
  await withFirmware(disk, async (directory) => {
    expect(await readFirmware(directory)).toMatchObject({ bootedFrom: { partitionUuid: null, path: null } });
  });
  await withFirmware({ ...current, [`LoaderDevicePartUUID-${vendors.loader}`]: wide("no") }, async (directory) => {
    expect(await readFirmware(directory)).toMatchObject({ bootedFrom: null });
  });
});

test("a UEFI whose variables cannot be seen is no UEFI without Secure Boot", async () => {
  await withFirmware({}, async (directory) => {
    await expect(readFirmware(directory)).rejects.toThrow("the variables of the firmware are not in");
  });
});

test("where a boot entry for a 64-bit OS can be made", async () => {
  await using temporary = await temporaryDirectory();
  expect(await findBootVariables(temporary.dir)).toBeNull(); // BIOS
  await withFirmware({}, async (directory) => expect(await findBootVariables(directory)).toBeNull(), "32\n");
  await withFirmware({ [global("Boot0001")]: Buffer.from("x") }, async (directory) => {
    expect(await (await findBootVariables(directory))?.names()).toEqual(["Boot0001"]);
  });
});
