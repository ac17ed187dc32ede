#!/bin/bash
# Makes a whole system out of busybox in the directory $1, for tests that need many boots. $2: version, $3: host name.
# Runs under fakeroot.
set -euo pipefail
cd "$1"
mkdir -p bin sbin dev proc sys run tmp etc/reimage root var/lib/kiosk boot kiosk/log
cp "$BUSYBOX" bin/busybox
for name in sh mount login getty cat echo hostname sleep; do ln -s busybox "bin/$name"; done
cat >etc/passwd <<PASSWD
root:x:0:0:root:/root:/bin/sh
kiosk:x:$4:$4:kiosk:/:/bin/sh
PASSWD
printf 'root:x:0:\nkiosk:x:%s:\n' "$4" >etc/group
echo "tiny kiosk $2" >etc/issue
echo "$3" >etc/hostname
cat >sbin/init <<'INIT'
#!/bin/sh
mount -t proc proc /proc
hostname "$(cat /etc/hostname)"
while :; do getty -L 115200 /dev/ttyS0 vt100; done
INIT
chmod 755 sbin/init
echo "$3" >var/lib/kiosk/identity
head -c 400000 /dev/urandom >var/lib/kiosk/journal.db
chown -R "$4:$4" var/lib/kiosk
chmod 600 var/lib/kiosk/identity
