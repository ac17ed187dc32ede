/** Which disk may be overwritten. Pure: facts in, a decision or a refusal out. */
import type { TargetSelector } from "../config/schema.ts";
import { ReimageError } from "../errors.ts";
import type { BootInfo } from "./boot-info.ts";
import { isSameByPath } from "./by-path.ts";
import type { Disk } from "./inventory.ts";

export { assertSameDisk, checkUnused, findDiskAgain, parseSwaps, type Swap } from "./target-state.ts";

/** What the old OS says about its disk. */
export interface GuardFacts {
  /** Null where there is no old root, or where it lies on several disks. */
  readonly oldRootDisk: Disk | null;
  readonly bootInfo: BootInfo | null;
}

/**
 * The one disk to overwrite.
 * @throws ReimageError `target`, with every disk of the machine in the message, unless exactly one disk is wanted, it is
 * no removable or USB disk that was not named itself, and it is the disk that the old OS was last written to.
 */
export function chooseTarget(disks: readonly Disk[], wanted: TargetSelector, facts: GuardFacts): Disk {
  const refuse = (reason: string, hint: string): ReimageError => {
    const list = disks.map((disk) => `\n  ${describeDisk(disk)}`).join("");
    return new ReimageError("target", `${reason}; the disks of this machine are:${list === "" ? " none" : list}`, {
      hint,
    });
  };
  const target = selectOne(disks, wanted, facts.oldRootDisk, refuse);
  const isNamedItself =
    wanted.kind === "match" && (wanted.serial !== undefined || wanted.wwn !== undefined || wanted.path !== undefined);
  if ((target.transport === "usb" || target.removable) && !isNamedItself) {
    const what = target.transport === "usb" ? "a USB disk" : "removable";
    throw refuse(
      `the target would be ${target.path}, which is ${what}`,
      "to overwrite it all the same, name it by serial=, wwn= or path= in target.disk",
    );
  }
  compareWithBootInfo(target, facts.bootInfo, wanted.kind === "match" || wanted.named, refuse);
  return target;
}

/** A disk on one line, for a person who has to tell it from the others. */
export function describeDisk(disk: Disk): string {
  const facts = [
    disk.transport,
    `${(disk.sizeBytes / 1e9).toFixed(1)} GB (${disk.sizeBytes} bytes)`,
    `model ${disk.model ?? "unknown"}`,
    `serial ${disk.serial ?? "unknown"}`,
    ...(disk.wwn === null ? [] : [`wwn ${disk.wwn}`]),
    ...(disk.byPath === null ? [] : [disk.byPath]),
    ...(disk.removable ? ["removable"] : []),
  ];
  return `${disk.path}: ${facts.join(", ")}`;
}

type Refuse = (reason: string, hint: string) => ReimageError;

function selectOne(disks: readonly Disk[], wanted: TargetSelector, oldRootDisk: Disk | null, refuse: Refuse): Disk {
  if (wanted.kind === "old-root") {
    const target = disks.find((disk) => disk.deviceNumber === oldRootDisk?.deviceNumber);
    if (target !== undefined) return target;
    throw refuse(
      "the target is to be the disk of the old root, but the old root lies on no disk, or on more than one",
      "name the disk in target.disk by serial=, wwn=, path=, model= or size=",
    );
  }
  const matching = disks.filter((disk) => matches(disk, wanted));
  const [target] = matching;
  const text = describeSelector(wanted);
  if (target === undefined) throw refuse(`no disk matches ${text}`, "check target.disk against this list");
  if (matching.length > 1) {
    throw refuse(
      `${matching.map((disk) => disk.path).join(" and ")} both match ${text}`,
      "add a property to target.disk that only one of them has, such as serial=",
    );
  }
  return target;
}

type MatchSelector = Extract<TargetSelector, { kind: "match" }>;

/** Every property that is given must match. */
export function matches(disk: Disk, { serial, wwn, path, model, sizeBytes }: MatchSelector): boolean {
  return (
    (serial === undefined || disk.serial === serial.trim()) &&
    (wwn === undefined || (disk.wwn !== null && normalWwn(disk.wwn) === normalWwn(wwn))) &&
    (path === undefined || isAtPath(disk, path)) &&
    (model === undefined ||
      (disk.model !== null && isSameModel(model, disk.model, ["ata", "scsi", "usb"].includes(disk.transport)))) &&
    (sizeBytes === undefined || disk.sizeBytes === sizeBytes)
  );
}

function isAtPath(disk: Disk, wanted: string): boolean {
  const byPath = wanted.replace(/^\/dev\/disk\/by-path\//, "");
  return wanted === disk.path || (disk.byPath !== null && isSameByPath(byPath, disk.byPath));
}

/** `naa.5000…`, `0x5000…` and `5000…` are the same WWN, as different tools print it. */
function normalWwn(wwn: string): string {
  return wwn
    .trim()
    .toLowerCase()
    .replace(/^(0x|naa\.)/, "");
}

/** Of a SCSI or ATA disk, sysfs knows 16 characters of the model; udev knows all and writes spaces as underscores. */
function isSameModel(wanted: string, known: string, isCut: boolean): boolean {
  const SYSFS_MODEL_LENGTH = 16;
  const text = wanted.trim().replace(/[\s_]+/g, " ");
  const model = known.replace(/[\s_]+/g, " ");
  return text === model || (isCut && model.length >= SYSFS_MODEL_LENGTH - 1 && text.startsWith(model));
}

function describeSelector({ kind: _, ...properties }: MatchSelector): string {
  return Object.entries(properties)
    .map(([name, value]) => `${name === "sizeBytes" ? "size" : name}=${value}`)
    .join(" ");
}

/** Boot info knows which disk this OS was written to. An empty field, and an identity that is not there, are unknown. */
function compareWithBootInfo(target: Disk, bootInfo: BootInfo | null, isNamed: boolean, refuse: Refuse): void {
  const nameIt = "if it is the right disk, write so in target.disk (old-root, serial=, wwn=, path= …)";
  if (bootInfo === null) {
    if (isNamed) return;
    throw refuse(`nothing says that ${target.path} is to be overwritten: the old OS has no boot info`, nameIt);
  }
  const { disk, image_id, primary_disk } = bootInfo;
  if (disk !== null) {
    const differences = [
      ...(differ(disk.serial, target.serial) ? [`serial ${disk.serial}, not ${target.serial}`] : []),
      ...(differ(disk.wwn, target.wwn) ? [`wwn ${disk.wwn}, not ${target.wwn}`] : []),
      ...(disk.sizeBytes === target.sizeBytes ? [] : [`${disk.sizeBytes} bytes, not ${target.sizeBytes}`]),
    ];
    if (differences.length > 0) {
      throw refuse(
        `${target.path} is not the disk that the old OS was written to, which has ${differences.join(", ")}`,
        "the old OS may have been copied here from another disk; remove its /etc/reimage/boot-info.json if this disk is right",
      );
    }
  }
  if (isNamed) return;
  if (image_id === "" && primary_disk === "") {
    throw refuse(`the boot info of the old OS names neither its image nor its disk`, nameIt);
  }
  if (disk === null && primary_disk !== "" && primary_disk !== target.path) {
    throw refuse(`the old OS was written to ${primary_disk}, and the target would be ${target.path}`, nameIt);
  }
}

/** Whether both are known and not the same. */
function differ(before: string | null, now: string | null): boolean {
  return before !== null && before !== "" && now !== null && before !== now;
}
