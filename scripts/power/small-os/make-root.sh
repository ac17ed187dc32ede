#!/bin/bash
# Makes the root file system of a small system, in one fakeroot session so that owners hold. By environment: WORK (the
# folder to work in; $WORK/tree is what else goes in), SYSTEM (old, new), LABEL, SIZE_MIB, BLOCK_BYTES, HERE, BUSYBOX.
set -euo pipefail
root=$WORK/tree
mkdir -p "$root"/{bin,sbin,dev,proc,sys,run,tmp,mnt,root,etc/ssh,var/lib}
cp "$BUSYBOX" "$root/bin/busybox"
"$BUSYBOX" --list | grep -vxE 'init|linuxrc' | while read -r name; do [ -e "$root/bin/$name" ] || ln -s busybox "$root/bin/$name"; done
cp "$HERE/init" "$root/sbin/init"
chmod 755 "$root/sbin/init" "$root/bin/busybox"
echo "$SYSTEM" >"$root/etc/small-os"
printf '/etc/machine-id\n/etc/ssh\n/var/lib/kiosk\n' >"$root/etc/retained"
if [ "$SYSTEM" = old ]; then kiosk=1500; else kiosk=2100; fi
printf 'root:x:0:0:root:/root:/bin/sh\nkiosk:x:%s:%s::/:/bin/sh\n' $kiosk $kiosk >"$root/etc/passwd"
printf 'root:x:0:\nkiosk:x:%s:\n' $kiosk >"$root/etc/group"
chmod 755 "$root/etc" "$root/etc/ssh" "$root/var" "$root/var/lib"
: >"$WORK/attributes"
if [ "$SYSTEM" = old ]; then
    echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id" && chmod 444 "$root/etc/machine-id"
    echo 'the private key of this machine' >"$root/etc/ssh/host_key" && chmod 600 "$root/etc/ssh/host_key"
    mkdir "$root/var/lib/kiosk"
    head -c 400000 /dev/urandom >"$root/var/lib/kiosk/journal.db"
    : >"$root/var/lib/kiosk/empty"
    ln -s journal.db "$root/var/lib/kiosk/current"
    ln "$root/var/lib/kiosk/journal.db" "$root/var/lib/kiosk/journal.bak"
    echo 'receipts left: 312' >"$root/var/lib/kiosk/paper with a space"
    chmod 4640 "$root/var/lib/kiosk/journal.db"
    find "$root/var/lib/kiosk" -exec touch -h -d @1500000000 {} +
    touch -d @1400000000 "$root/etc/machine-id" "$root/etc/ssh/host_key" "$root/etc/ssh"
    chown -hR $kiosk:$kiosk "$root/var/lib/kiosk"
    chmod 2750 "$root/var/lib/kiosk"
    echo 'ea_set /var/lib/kiosk/journal.db user.site 42' >>"$WORK/attributes"
else
    echo unset >"$root/etc/machine-id"
    echo 'the key of the image' >"$root/etc/ssh/host_key"
    head -c 200000 /dev/urandom >"$root/usr-of-the-new-one"
fi
mke2fs -q -t ext4 -b "$BLOCK_BYTES" -m 0 -J size=$((BLOCK_BYTES / 1024)) -L "$LABEL" -d "$root" "$WORK/root.ext4" "${SIZE_MIB}M"
debugfs -w -f "$WORK/attributes" "$WORK/root.ext4" >"$WORK/debugfs.log" 2>&1
if grep -v '^debugfs' "$WORK/debugfs.log"; then exit 1; fi # debugfs ends with 0 whatever happens
e2fsck -fn "$WORK/root.ext4" >/dev/null
rm -rf "$root"
