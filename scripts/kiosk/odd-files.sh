#!/bin/bash
# Makes files that copying likes to get wrong, below var/lib/kiosk/odd of the system in $1. Runs under fakeroot.
# $2: work directory. Prints debugfs commands for what fakeroot and mke2fs cannot do: ACLs and nanoseconds.
set -euo pipefail
mkdir -p "$1/var/lib/kiosk/odd"
cd "$1/var/lib/kiosk/odd"

echo 'spaces' >'with two  spaces.txt'
echo 'newline' >$'with\nnewline'
printf 'latin1' >$'caf\xe9 \xff'
mkdir -p site-a site-b empty
echo 'a' >site-a/config
echo 'b' >site-b/config # the same base name with other content
ln -s loop-2 loop-1
ln -s loop-1 loop-2
ln -s ../transaction-counter link-relative
ln -s /etc/kiosk/device.key link-absolute
ln -s /nowhere/at/all link-dangling
echo 'one inode, two names' >hard-1
ln hard-1 site-a/hard-2
truncate -s 64M sparse
echo 'middle' | dd of=sparse bs=1M seek=20 conv=notrunc status=none
echo 'end' | dd of=sparse bs=1 seek=$((64 * 1024 * 1024 - 4)) conv=notrunc status=none
: >empty-file
cp /bin/true suid-program
cp /bin/true capable
cp /bin/true "sticky"
echo 'attributes' >xattrs
echo 'access list' >acl
mkdir acl-default
mkfifo fifo
mknod device-null c 1 3
setfattr -n user.kiosk.colour -v 'blue' xattrs
setfattr -n trusted.overlay -v 0x00ff00 xattrs
setfattr -n security.selinux -v 'system_u:object_r:etc_t:s0' xattrs
setcap cap_net_bind_service,cap_net_raw+ep capable
# Owners last: setting an attribute under fakeroot takes the ownership back.
chown -h -R 1500:1500 .
chown 0:0 capable device-null
chown 1501:1600 suid-program acl acl-default
chown 1502:1502 xattrs hard-1
chown 54321:54322 sticky # known by name to nobody
chmod 6755 suid-program
chmod 1777 sticky
chmod 2770 acl-default
chmod 0400 with\ two\ \ spaces.txt
chmod 0000 empty-file
chmod 0511 empty
touch -h -d '1999-12-31 23:59:59 UTC' loop-1 'with two  spaces.txt'
touch -d '2038-01-19 03:14:08 UTC' site-b/config

# setfacl -m u:1502:r,g:1600:rw and, for the directory, the same as default; the numbers little endian.
acl() { printf '\2\0\0\0\1\0\6\0\377\377\377\377\2\0\4\0\336\5\0\0\4\0\4\0\377\377\377\377\10\0\6\0\100\6\0\0\20\0\6\0\377\377\377\377\40\0\4\0\377\377\377\377'; }
acl >"$2/acl"
odd=/var/lib/kiosk/odd
cat <<COMMANDS
ea_set -f $2/acl $odd/acl system.posix_acl_access
sif $odd/acl mode 0100664
ea_set -f $2/acl $odd/acl-default system.posix_acl_default
sif $odd/site-a/config mtime_extra 0x1d6f3454
sif $odd/site-a/config atime_extra 0x00000fa0
sif $odd/loop-1 mtime_extra 0xee6b27fc
COMMANDS
