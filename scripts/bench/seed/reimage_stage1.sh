#!/bin/sh
set -e

echo "Starting upgrade..."
mount /dev/sda2 /sysroot
echo "Mounted disk. Copying image to memory."
cp /sysroot/images/os.img.bz2 /

rm -rf /retentionlist || true

mkdir -p /sysroot/tmp/retentionlist
cp /retentionlist.txt /sysroot/tmp/retentionlist/

cat chroot_commands1.sh | chroot /sysroot /bin/bash

cp -r /sysroot/tmp/retentionlist/ /
rm -rf /sysroot/tmp/retentionlist/
cat /retentionlist/metadata/savedperms

umount /sysroot
echo "Unmounted disk. Disk will be reimaged."
