#!/bin/bash
# Makes the old OS of the kiosk out of a plain Debian, in the directory $1. Runs under fakeroot. $2: work directory.
set -euo pipefail
cd "$1"
. "$(dirname "$0")/common.sh"

make_kiosk_system 'kiosk image 2019.3' 2019.3
echo 'kiosk-0042' >etc/hostname
echo '5f3c0e1d2b4a49788899aabbccddee42' >etc/machine-id
add_group cash 1600
add_user kiosk 1500
add_user svc 1501
add_user technician 1502 # the new OS does not know this one: its files keep the number
add_ssh_host_keys "$2" kiosk-0042

# State that the machine would not be itself without.
install -d -m 0750 etc/kiosk
head -c 48 /dev/urandom | base64 >etc/kiosk/device.key
echo 'terminal 0042, Hauptstrasse 7' >etc/kiosk/terminal.conf
chown -R 1501:1600 etc/kiosk
chmod 0600 etc/kiosk/device.key
echo 'legacy=1' >etc/kiosk-legacy.conf
install -d -m 0755 var/lib/kiosk
chown 1500:1500 var/lib/kiosk
echo '0000123456' >var/lib/kiosk/transaction-counter
head -c 300000 /dev/urandom >var/lib/kiosk/journal.db
chown 1500:1500 var/lib/kiosk/*
mkdir -p var/lib/kiosk/cache
head -c 100000 /dev/urandom >var/lib/kiosk/cache/thumbnails
mkdir -p home/technician
echo 'do not touch the paper tray' >'home/technician/notes for the next one.txt'
chown -R 1502:1502 home/technician
