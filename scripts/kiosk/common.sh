# Shell functions for the scripts that make the kiosk systems; the current directory is the root of the system.
# shellcheck shell=bash

# add_group NAME GID
add_group() {
    echo "$1:x:$2:" >>etc/group
    echo "$1:!::" >>etc/gshadow
}

# add_user NAME UID: a user with a group of the same name and number, who cannot log in with a password
add_user() {
    add_group "$1" "$2"
    echo "$1:x:$2:$2:$1:/home/$1:/bin/bash" >>etc/passwd
    echo "$1:!:18000:0:99999:7:::" >>etc/shadow
}

# add_ssh_host_keys CACHE HOSTNAME: real keys; ssh-keygen runs on the build host
add_ssh_host_keys() {
    local type
    rm -f etc/ssh/ssh_host_*
    for type in rsa ecdsa ed25519; do
        ssh-keygen -q -t "$type" -N '' -C "root@$2" -f "etc/ssh/ssh_host_${type}_key"
    done
}

# make_kiosk_system NAME VERSION: what the old and the new system have in common
make_kiosk_system() {
    sed -i -e "s|^PRETTY_NAME=.*|PRETTY_NAME=\"Debian GNU/Linux 12 ($1)\"|" usr/lib/os-release
    echo "VARIANT=\"$1\"" >>usr/lib/os-release
    echo "IMAGE_VERSION=$2" >>usr/lib/os-release
    printf '%s \\n \\l\n\n' "$1" >etc/issue
    cp -r "$KERNEL_MODULES/lib/modules" usr/lib/
    rm -rf var/cache/apt/* var/lib/apt/lists/* usr/lib/udev/hwdb.d/* usr/share/zoneinfo/right usr/share/zoneinfo/posix
    cat >etc/systemd/system/kiosk-identity.service <<'UNIT'
[Unit]
Description=Show who this kiosk is
Before=getty.target
After=systemd-remount-fs.service local-fs.target

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/kiosk-identity
StandardOutput=journal+console

[Install]
WantedBy=multi-user.target
UNIT
    cat >usr/local/sbin/kiosk-identity <<'SHOW'
#!/bin/sh
. /etc/os-release
echo "kiosk: $VARIANT, host name $(hostname), machine id $(cat /etc/machine-id)"
for key in /etc/ssh/ssh_host_*_key; do echo "kiosk: $(ssh-keygen -lf "$key")"; done
SHOW
    chmod 755 usr/local/sbin/kiosk-identity
    mkdir -p etc/systemd/system/multi-user.target.wants kiosk
    ln -s ../kiosk-identity.service etc/systemd/system/multi-user.target.wants/
    # Nothing here needs these, and an emulated CPU takes seconds for each.
    local unit
    for unit in e2scrub_reap.service e2scrub_all.timer dpkg-db-backup.timer fstrim.timer systemd-pstore.service \
        systemd-hwdb-update.service systemd-journal-flush.service systemd-update-utmp.service getty@tty1.service \
        systemd-firstboot.service ldconfig.service dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount \
        sys-kernel-tracing.mount sys-fs-fuse-connections.mount modprobe@configfs.service modprobe@drm.service \
        modprobe@fuse.service modprobe@efi_pstore.service systemd-binfmt.service keyboard-setup.service \
        systemd-network-generator.service; do
        ln -sf /dev/null "etc/systemd/system/$unit"
    done
}
