import { describe, expect, test } from "bun:test";
import {
  aliasesOfBuiltIn,
  aliasesOfModules,
  formatDriverList,
  isOfDiskBus,
  knowsAlias,
  matchesAlias,
  parseDriverList,
} from "../../../src/arming/driver-list.ts";
import { missingDrivers } from "../../../src/arming/drivers.ts";

describe("matchesAlias", () => {
  // Patterns of Debian's linux-image-6.1.0-56-amd64, and what devices of real machines ask for.
  const known = [
    ["pci:v*d*sv*sd*bc01sc08i02*", "pci:v0000144Dd0000A80Asv0000144Dsd0000A801bc01sc08i02"],
    ["pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d0000A102sv00001043sd00008694bc01sc06i01"],
    ["pci:v00001AF4d*sv*sd*bc*sc*i*", "pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00"],
    ["virtio:d00000002v*", "virtio:d00000002v00001AF4"],
    ["scsi:t-0x00*", "scsi:t-0x00"],
    ["usb:v*p*d*dc*dsc*dp*ic08isc06ip62in*", "usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip62in00"],
    ["usb:v03EBp2002d0100dc*dsc*dp*ic*isc*ip*in*", "usb:v03EBp2002d0100dc00dsc00dp00ic08isc06ip50in00"],
    ["mmc:block", "mmc:block"],
    ["xen:vbd", "xen:vbd"],
    ["vmbus:d96361baa104294db60572e2ffb1dc7f", "vmbus:d96361baa104294db60572e2ffb1dc7f"],
    ["acpi*:80860F14:*", "acpi:80860F14:INT33BB:"],
    ["platform:sdhci-pltfm", "platform:sdhci_pltfm"], // modprobe takes them for the same
    ["usb:v07B4p010[!A-F]d*", "usb:v07B4p0102d0102"],
    ["usb:v0525pA140d0[0-2]*dc*", "usb:v0525pA140d0123dc00"],
  ] as const;
  test.each(known)("%s matches %s", (pattern, alias) => {
    expect(matchesAlias(pattern, alias)).toBe(true);
  });

  const foreign = [
    ["pci:v*d*sv*sd*bc01sc08i02*", "pci:v00008086d0000A102sv00001043sd00008694bc01sc06i01"],
    ["virtio:d00000002v*", "virtio:d00000008v00001AF4"],
    ["scsi:t-0x00*", "scsi:t-0x05"],
    ["mmc:block", "mmc:block2"],
    ["mmc:block", "amc:mmc:block"],
    ["platform:a.b", "platform:axb"], // a dot is a dot
    ["usb:v07B4p010[!A-F]d*", "usb:v07B4p010Ad0102"],
    ["usb:v0525pA140d0[0-2]*dc*", "usb:v0525pA140d0323dc00"],
  ] as const;
  test.each(foreign)("%s does not match %s", (pattern, alias) => {
    expect(matchesAlias(pattern, alias)).toBe(false);
  });
});

describe("the list", () => {
  test("is read as it was written, without repetitions", () => {
    const text = formatDriverList({ kernel: "6.1.0-56-amd64", patterns: ["xen:vbd", "mmc:block", "xen:vbd"] });
    expect(parseDriverList(text)).toEqual({ kernel: "6.1.0-56-amd64", patterns: ["mmc:block", "xen:vbd"] });
  });

  test("another text is none", () => {
    expect(parseDriverList("")).toBeNull();
    expect(parseDriverList("reimage drivers 2\n6.1\nxen:vbd\n")).toBeNull();
  });

  test("takes what modules say, but for those that are not wanted", () => {
    const text = "# Aliases\nalias xen:vbd xen_blkfront\nalias xen:vif xen_netfront\nalias symbol:x y\n";
    expect(aliasesOfModules(text, (module) => module !== "xen_netfront")).toEqual(["xen:vbd", "symbol:x"]);
  });

  test("takes what built-in drivers say", () => {
    const entries = ["processor.license=GPL", "efi_pstore.alias=platform:efivars", "ehci.parm=a:b.alias=c", ""];
    expect(aliasesOfBuiltIn(entries.join("\0"))).toEqual(["platform:efivars"]);
  });

  test("leaves out what leads to no disk", () => {
    const wanted = ["pci:v*", "acpi*:VMBUS:*", "of:N*T*Carm,primecell", "scsi:t-0x00*"];
    const others = ["fs-ext4", "crypto-crc32c", "hid:b0003g*", "input:b*v*", "net-pf-10", "symbol:x"];
    expect([...wanted, ...others].filter(isOfDiskBus)).toEqual(wanted);
  });

  test("says which devices nobody drives", () => {
    const list = { kernel: "6.1", patterns: ["pci:v*d*sv*sd*bc01sc08i02*"] };
    const nvme = { device: "a", driver: "nvme", alias: "pci:v0000144Dd0000A80Asv0000144Dsd0000A801bc01sc08i02" };
    const raid = { device: "b", driver: "lpfc", alias: "pci:v000010DFd0000F100sv000010DFsd0000F100bc0Csc04i00" };
    expect(missingDrivers(list, [nvme, raid])).toEqual([raid]);
    expect(knowsAlias(list, nvme.alias)).toBe(true);
  });
});
