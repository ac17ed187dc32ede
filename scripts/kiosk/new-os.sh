#!/bin/bash
# Makes the new OS of the kiosk out of a plain Debian, in the directory $1. Runs under fakeroot. $2: work directory.
set -euo pipefail
cd "$1"
. "$(dirname "$0")/common.sh"

make_kiosk_system 'kiosk image 2026.11' 2026.11
echo 'unnamed-kiosk' >etc/hostname
echo 'uninitialized' >etc/machine-id
add_ssh_host_keys "$2" unnamed-kiosk
# The same names with other numbers, and a number that used to be somebody else's.
add_group cash 1700
add_user svc 1500
add_user kiosk 2100
add_user auditor 1501

# Directories that are retained too: merged, except for files of the same name.
install -d -m 0700 var/lib/kiosk
echo 'none yet' >var/lib/kiosk/transaction-counter
echo 'made in the factory' >var/lib/kiosk/factory-note
install -d -m 0755 etc/kiosk
echo 'defaults of the new image' >etc/kiosk/defaults.conf
