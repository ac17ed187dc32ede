#!/bin/bash
# Makes the two file systems of the benchmark's Debian, in one fakeroot session so that owners hold. Everything comes by
# environment: WORK, BASE (tar), KERNEL (a folder lib/modules/<version>), VMLINUZ, INITRD, BOOT_MIB, ROOT_MIB.
set -euo pipefail
root=$WORK/root
boot=$WORK/boot
mkdir "$root" "$boot"
tar -xpf "$BASE" -C "$root" --exclude './dev/*'
mkdir -p "$root/usr/lib/modules"
cp -r "$KERNEL" "$root/usr/lib/modules/"
for desktop in drivers/gpu drivers/media drivers/net/wireless drivers/staging sound; do
    rm -r "$root/usr/lib/modules/$(basename "$KERNEL")/kernel/$desktop"
done
printf 'LABEL=root / ext4 defaults 0 1\nLABEL=boot /boot ext4 defaults 0 2\n' >"$root/etc/fstab"
echo bench >"$root/etc/hostname"
mkdir "$boot/grub"
cp "$VMLINUZ" "$boot/vmlinuz"
cp "$INITRD" "$boot/initrd.img"
cat >"$boot/grub/grub.cfg" <<CONFIG
set timeout=1
menuentry 'Debian' {
    linux /vmlinuz root=LABEL=root console=tty0 console=ttyS0,115200
    initrd /initrd.img
}
CONFIG
mke2fs -q -t ext4 -m 0 -L boot -d "$boot" "$WORK/boot.ext4" "${BOOT_MIB}M"
mke2fs -q -t ext4 -L root -d "$root" "$WORK/root.ext4" "${ROOT_MIB}M"
e2fsck -fn "$WORK/root.ext4" >"$WORK/e2fsck.log"
rm -rf "$root" "$boot"
