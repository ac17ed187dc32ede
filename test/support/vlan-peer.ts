/**
 * Another station on the wire, in the machine under test itself: a second card, which a network namespace of its own takes
 * away from the rest. It speaks tagged frames alone; an untagged question gets no answer.
 */

/** The DHCP server in VLAN 5, and what it grants. */
export const peerInVlan5 = { address: "10.5.0.1", grants: "10.5.0.50", nameserver: "10.5.0.9" } as const;
/** The station in VLAN 7, where nobody grants anything. */
export const peerInVlan7 = { address: "10.7.0.1" } as const;
/** What its web server answers on `/os.img.bz2`, in both. */
export const peerAnswer = "from the other end\n";

/** Shell commands that start it on the card with that MAC address; for `beside` of a ReimageOptions. */
export function vlanPeer(mac: string): string {
  return `exec >/vlan-peer.log 2>&1
mkdir /peer
echo '${peerAnswer.trim()}' >/peer/os.img.bz2
cat >/udhcpd.conf <<'END'
interface peer5
start ${peerInVlan5.grants}
end ${peerInVlan5.grants}
lease_file /udhcpd.leases
pidfile /udhcpd.pid
option subnet 255.255.255.0
option router ${peerInVlan5.address}
option dns ${peerInVlan5.nameserver}
END
: >/udhcpd.leases
cat >/peer.sh <<'END'
until ip link set "$1" up 2>/dev/null; do sleep 0.1; done
ip link set lo up
for vlan in 5:${peerInVlan5.address} 7:${peerInVlan7.address}; do
    ip link add link "$1" name "peer\${vlan%:*}" type vlan id "\${vlan%:*}"
    ip addr add "\${vlan#*:}/24" dev "peer\${vlan%:*}"
    ip link set "peer\${vlan%:*}" up
done
httpd -p 80 -h /peer
exec udhcpd -f /udhcpd.conf
END
until file=$(grep -l '${mac}' /sys/class/net/eth*/address 2>/dev/null); do sleep 0.1; done
card=\${file#/sys/class/net/}
card=\${card%/address}
unshare -n sh /peer.sh "$card" &
while [ -e "/sys/class/net/$card" ]; do
    ip link set "$card" netns $! 2>/dev/null
    sleep 0.1
done
wait`;
}
