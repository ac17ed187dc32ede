/**
 * LVM: volume groups activated read-only, so that an old root on a logical volume can be read, and taken away again.
 * Works without udev, a writable /etc/lvm, and with the disks read-only in the kernel.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { ReimageError } from "../errors.ts";
import { hasTool, runCommand } from "../system/commands.ts";
import { listDirectory, readAttribute } from "./sysfs.ts";

/** A volume group with logical volumes. */
export interface VolumeGroup {
  readonly name: string;
  /** `foreign`: active, and by somebody else, for at least one of its volumes may be written. */
  readonly state: "inactive" | "read-only" | "foreign";
}

/** Volume groups that are active read-only, by this run or one that was killed; disposing deactivates them. */
export interface ActiveVolumeGroups extends AsyncDisposable {
  readonly names: readonly string[];
  /** Kernel names of their volumes (dm-0 …), which are among the `holders` of the disks below them. */
  readonly holders: readonly string[];
}

const DEACTIVATE_ATTEMPTS = 10;
const DEACTIVATE_RETRY_MS = 200;

/**
 * What lvm.conf(5) would say here. Nothing is written anywhere (no backups of metadata, no repair of thin pools), and
 * device nodes are made by lvm itself, because there is no udev to do it and to wait for.
 */
function configFor(readOnlyGroups: readonly string[]): string[] {
  const list = readOnlyGroups.map((name) => JSON.stringify(name)).join(",");
  const settings = [
    "devices { obtain_device_list_from_udev=0 external_device_info_source=none use_devicesfile=0 }",
    "backup { backup=0 archive=0 }",
    'global { event_activation=0 use_lvmpolld=0 use_lvmlockd=0 thin_check_executable="" cache_check_executable="" }',
    `activation { udev_sync=0 udev_rules=0 monitoring=0${list === "" ? "" : ` read_only_volume_list=[${list}]`} }`,
  ];
  return ["--config", settings.join(" ")];
}

/** All volume groups that have logical volumes; none where the lvm command is not installed. */
export async function readVolumeGroups(): Promise<VolumeGroup[]> {
  if (!hasTool("lvm")) return [];
  const fields = ["--noheadings", "--separator", "|", "-o", "vg_name,lv_active,lv_permissions"];
  const { stdout } = await runCommand("lvm", ["lvs", ...configFor([]), ...fields], { code: "old-os" });
  return parseVolumeGroups(stdout);
}

/** Parses `lvm lvs --noheadings --separator '|' -o vg_name,lv_active,lv_permissions`, a line for each volume. */
export function parseVolumeGroups(text: string): VolumeGroup[] {
  const groups = new Map<string, VolumeGroup["state"]>();
  for (const line of text.split("\n")) {
    const [name, active, permissions] = line.split("|").map((field) => field.trim());
    if (name === undefined || name === "" || active === undefined) continue;
    const isActive = active !== "" && active !== "unknown";
    const state = !isActive ? "inactive" : permissions === "read-only-override" ? "read-only" : "foreign";
    const order = ["inactive", "read-only", "foreign"] as const;
    const before = order.indexOf(groups.get(name) ?? "inactive");
    groups.set(name, order[Math.max(before, order.indexOf(state))] ?? state);
  }
  return [...groups].map(([name, state]) => ({ name, state }));
}

/**
 * Activates every volume group read-only that is not active already. Groups that a killed run left active read-only are
 * taken over. None where there is no LVM on the disks or no lvm command.
 * @throws ReimageError `old-os`
 */
export async function activateVolumeGroups(): Promise<ActiveVolumeGroups> {
  const groups = (await readVolumeGroups()).filter((group) => group.state !== "foreign");
  const names = groups.map((group) => group.name);
  const inactive = groups.filter((group) => group.state === "inactive").map((group) => group.name);
  if (inactive.length > 0) {
    // --sysinit: no polling daemon that would go on with a pvmove, and no complaint where /run/lock cannot be written.
    await runCommand("lvm", ["vgchange", "--sysinit", "-ay", ...configFor(inactive), ...inactive], {
      code: "old-os",
      hint: "look at the volume groups with: lvm vgs; lvm lvs",
    }).catch(async (error: unknown) => {
      await deactivateVolumeGroups(names);
      throw error;
    });
  }
  return {
    names,
    holders: await readHolders(names),
    [Symbol.asyncDispose]: () => deactivateVolumeGroups(names),
  };
}

/** Deactivates volume groups. @throws ReimageError `target-busy` naming what is still open. */
export async function deactivateVolumeGroups(names: readonly string[]): Promise<void> {
  if (names.length === 0) return;
  for (let attempt = 1; ; attempt++) {
    const { exitCode, stderr } = await runCommand("lvm", ["vgchange", "--sysinit", "-an", ...configFor([]), ...names], {
      accept: [5], // a volume is in use
    });
    if (exitCode === 0) return;
    if (attempt === DEACTIVATE_ATTEMPTS) {
      throw new ReimageError(
        "target-busy",
        `volume groups ${names.join(", ")} cannot be deactivated: ${stderr.trim()}`,
        {
          hint: "unmount what lies on them (lsblk shows it), then: lvm vgchange -an",
        },
      );
    }
    await sleep(DEACTIVATE_RETRY_MS);
  }
}

/** The dm devices whose name starts with one of the groups' (hyphens doubled) and that LVM made. */
async function readHolders(groups: readonly string[]): Promise<string[]> {
  const prefixes = groups.map((name) => `${name.replaceAll("-", "--")}-`);
  const holders: string[] = [];
  for (const name of (await listDirectory("/sys/block")).filter((entry) => entry.startsWith("dm-"))) {
    const [mapped, uuid] = await Promise.all(
      ["dm/name", "dm/uuid"].map((attribute) => readAttribute(`/sys/block/${name}`, attribute)),
    );
    const isOfGroup = prefixes.some((prefix) => mapped?.startsWith(prefix) && mapped[prefix.length] !== "-");
    if (uuid?.startsWith("LVM-") && isOfGroup) holders.push(name);
  }
  return holders;
}
