set -e
echo "Starting sync."

sync
echo "Reimaging complete. Refreshing partition table."

blockdev --rereadpt /dev/sda
mdev -s

echo "Current partition table is..."
blkid

echo "Mounting root partition."
mount /dev/sda2 /sysroot

echo "Mounting kiosk partition."
mount /dev/sda3 /sysroot/kiosk

echo "Moving retentionlist into chroot"

mkdir /sysroot/tmp/retentionlist
cp -r /retentionlist/ /sysroot/tmp/

cat /chroot_commands.sh | chroot /sysroot /bin/bash

rm -rf /sysroot/tmp/retentionlist
cp /log1.txt /sysroot/kiosk/log/
cp /log2.txt /sysroot/kiosk/log/

echo "Unmounting kiosk partition."
umount /sysroot/kiosk

echo "Unmounting root partition."
umount /sysroot

sync
echo "Restore successful. Installation complete. Rebooting in 5 seconds."
sleep 5
echo s >/proc/sysrq-trigger
echo u >/proc/sysrq-trigger
echo b >/proc/sysrq-trigger
