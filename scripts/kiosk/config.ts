/** How the virtual kiosks are reimaged: what an operator writes into /etc/reimage. */
import type { Size, Table } from "./layouts.ts";

/** The names in /etc/reimage and their contents. */
export type ConfigFiles = Readonly<Record<"reimage.yaml" | "retentionlist.txt", string>>;

const retentionLists: Readonly<Record<Size, string>> = {
  debian: `# Who this kiosk is
/etc/machine-id
/etc/hostname
/etc/ssh/ssh_host_*_key
/etc/ssh/ssh_host_*_key.pub
@required /etc/kiosk/device.key
/etc/kiosk
@move /etc/kiosk-legacy.conf -> /etc/kiosk/legacy.conf
# What it has done
/var/lib/kiosk
@exclude /var/lib/kiosk/cache
/kiosk/state
/home/technician/notes for the next one.txt
`,
  tiny: `/etc/hostname
/var/lib/kiosk
@required /var/lib/kiosk/identity
`,
};

const images: Readonly<Record<`${Size}-${Table}`, string>> = {
  "debian-mbr": "LABEL=data:/images/os.img.bz2",
  "debian-gpt": "LABEL=root:/images/os.img.zst",
  "tiny-mbr": "LABEL=data:/images/os.img.bz2",
  "tiny-gpt": "LABEL=root:/images/os.img.zst",
};

/** Old and new roots and mounts, named in the different ways that there are. */
const systems: Readonly<Record<`${Size}-${Table}`, string>> = {
  "debian-mbr": `old:
  root: LABEL=root
  mounts: { /kiosk: LABEL=kiosk }
new:
  root: 2
  mounts: { /kiosk: 6 }
`,
  "debian-gpt": `old:
  root: PARTLABEL=old-root
  mounts: { /kiosk: PARTLABEL=old-kiosk }
new:
  root: PARTLABEL=new-root
  mounts: { /kiosk: LABEL=kiosk }
`,
  "tiny-mbr": "old: { root: LABEL=root }\nnew: { root: 1 }\n",
  "tiny-gpt": "old: { root: LABEL=root }\nnew: { root: 2 }\n",
};

/** The configuration of a kiosk; `further` is YAML that is added at the end. */
export function kioskConfig(size: Size, table: Table, further = ""): ConfigFiles {
  const yaml = `image:
  source: ${images[`${size}-${table}`]}
target:
  disk: old-root
${systems[`${size}-${table}`]}retention:
  list: /etc/reimage/retentionlist.txt
log: /kiosk/log
onSuccess: reboot
${further}`;
  return { "reimage.yaml": yaml, "retentionlist.txt": retentionLists[size] };
}
