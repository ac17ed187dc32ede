#!/bin/bash
# Makes the file systems of one kiosk system, all in one fakeroot session so that owners hold. Everything comes by
# environment: SYSTEM (old, new, tiny-old, tiny-new), TABLE (mbr, gpt), WORK, BASE (tar), KERNEL_MODULES, VMLINUZ,
# INITRD, BUSYBOX, IMAGE (the image that the old system keeps, in every packed form that lies beside it, or nothing), and the sizes in MiB.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
root=$WORK/root
mkdir "$root"
: >"$WORK/debugfs-commands"

case $SYSTEM in
old | new)
    tar -xpf "$BASE" -C "$root" --exclude './dev/*'
    "$here/$SYSTEM-os.sh" "$root" "$WORK"
    if [ "$SYSTEM" = old ]; then "$here/odd-files.sh" "$root" "$WORK" >"$WORK/debugfs-commands"; fi
    version=$(. "$root/usr/lib/os-release" && echo "$PRETTY_NAME")
    ;;
tiny-old) "$here/tiny-os.sh" "$root" 2019.3 tiny-0042 1500 && version='tiny kiosk 2019.3' ;;
tiny-new) "$here/tiny-os.sh" "$root" 2026.11 tiny-unnamed 2100 && version='tiny kiosk 2026.11' ;;
esac

# Kernel, initrd and GRUB's menu: in a file system of their own, or in /boot of the root.
boot=$root/boot
boot_path=/boot
if [ "${BOOT_MIB:-}" ]; then
    boot=$WORK/boot
    boot_path=
fi
mkdir -p "$boot/grub"
cp "$VMLINUZ" "$boot/vmlinuz"
cp "$INITRD" "$boot/initrd.img"
cat >"$boot/grub/grub.cfg" <<CONFIG
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=${GRUB_TIMEOUT:-0}
menuentry '$version' --hotkey=o {
    linux $boot_path/vmlinuz root=LABEL=root console=tty0 console=ttyS0,115200 quiet systemd.show_status=false
    initrd $boot_path/initrd.img
}
if [ -f $boot_path/reimage/vmlinuz ]; then
menuentry 'Reimage this kiosk' --hotkey=r {
    linux $boot_path/reimage/vmlinuz console=tty0 console=ttyS0,115200 quiet
    initrd $boot_path/reimage/initramfs.img $boot_path/reimage/config.cpio
}
fi
CONFIG

# The kiosk's own data: a partition of its own in the full systems.
kiosk=$WORK/kiosk
mkdir -p "$kiosk/log"
if [ "$SYSTEM" = old ]; then
    mkdir -p "$kiosk/state"
    echo 'receipts left: 312' >"$kiosk/state/paper"
    chown -R 1501:1600 "$kiosk/state"
    chmod 2750 "$kiosk/state"
fi
data=$WORK/data
mkdir -p "$data/images"
if [ "${IMAGE:-}" ]; then
    # In the GPT layout the image lies in the old root itself.
    images=$data/images
    if [ "$TABLE" = gpt ]; then images=$root/images && mkdir -p "$images"; fi
    for suffix in bz2 zst zst.bmap zst.manifest.json zst.manifest.json.minisig; do
        if [ -e "$IMAGE.$suffix" ]; then cp "$IMAGE.$suffix" "$images/os.img.$suffix"; fi
    done
fi
if [ "$SYSTEM" = old ] || [ "$SYSTEM" = new ]; then
    mkdir -p "$root/kiosk" "$root/boot"
    printf 'LABEL=root / ext4 defaults 0 0\nLABEL=kiosk /kiosk ext4 defaults 0 0\n' >"$root/etc/fstab"
fi

make_file_system() { # LABEL DIRECTORY MIB
    local journal_mib=4
    if [ "$3" -lt 32 ]; then journal_mib=1; fi
    mke2fs -q -t ext4 -b $((journal_mib * 1024)) -m 0 -J size=$journal_mib -L "$1" -d "$2" "$WORK/$1.ext4" "${3}M"
}
make_file_system root "$root" "$ROOT_MIB"
if [ "${BOOT_MIB:-}" ]; then make_file_system boot "$boot" "$BOOT_MIB"; fi
if [ "${KIOSK_MIB:-}" ]; then make_file_system kiosk "$kiosk" "$KIOSK_MIB"; fi
if [ "${DATA_MIB:-}" ]; then make_file_system data "$data" "$DATA_MIB"; fi
if [ -s "$WORK/debugfs-commands" ]; then
    debugfs -w -f "$WORK/debugfs-commands" "$WORK/root.ext4" >"$WORK/debugfs.log" 2>&1
    # debugfs ends with 0 whatever happens: anything but its echo of the commands is a failure.
    if grep -v '^debugfs' "$WORK/debugfs.log"; then exit 1; fi
fi
e2fsck -fn "$WORK/root.ext4" >/dev/null
rm -rf "$root" "$WORK/boot" "$kiosk" "$data"
