/** What Luna's nodes are handed to run (pure). */

const CARDS = 10;

/** Empty where a machine has no such card; the asset tag may hold anything. */
const fields = ["smbios/asset:uristring", "mac", ...Array.from({ length: CARDS }, (_, index) => `net${index}/mac`)];
const hwdata = fields.map((field) => `\${${field}}`).join("|");

/**
 * The menu of a node. Without a key it asks the server what to boot after ten seconds, and again until it is told: an engineer
 * may be naming its card at this moment.
 * @param url of this server's `/luna`, absolute: iPXE would take the first colon in a relative one for the end of a scheme.
 */
export const bootMenu = (url: string): string => `#!ipxe
set hwdata ${hwdata}
:menu
menu reimage: boot menu || goto ask
item ask Ask the server what to boot
item name Enter the name of this node
item disk Start from the disk
item shell Shell of iPXE
item config Configuration of iPXE
item reboot Reboot
item exit Leave iPXE
choose --default ask --timeout 10000 action && goto \${action} || goto menu
:ask
chain ${url}?step=discovery&hwdata=\${hwdata} && exit || goto unanswered
:name
echo -n Name of this node:
read node
chain ${url}?step=discovery&hwdata=\${hwdata}&node=\${node:uristring} && exit || goto unanswered
:disk
sanboot --no-describe --drive 0x80 || goto menu
:shell
shell
goto menu
:config
config
goto menu
:reboot
reboot
:exit
exit
:unanswered
echo Cannot get answer: this machine is not known to the server, or it cannot be reached
sleep 3
goto menu
`;

/** Arguments for the kernel of a node, as its dracut module understands them. `root=` of the configuration is respected. */
export function nodeArguments(node: string, mac: string | null, url: string, cmdline: string): string {
  const isRootGiven = /(^| )root=/.test(cmdline);
  return [
    ...(isRootGiven ? [] : ["root=luna"]),
    "luna.bootproto=dhcp",
    ...(mac === null ? [] : [`luna.mac=${mac}`]),
    `luna.url=${url}`,
    `luna.node=${node}`,
    `luna.hostname=${node}`,
    "luna.service=0",
  ].join(" ");
}

/**
 * The install script of a node: the reimager does the work, asks the endpoint first, and its exit status is the script's.
 * A word that does not get through changes nothing about that.
 * @param node a name or id, safe in a URL. @param url of this server's `/luna`.
 */
export function installScript(node: string, url: string): string {
  return `#!/bin/sh
# Installs node ${node}. Every stage's exit status counts; whether a status word arrives does not.
say() {
    curl -f -s -m 20 --connect-timeout 5 --retry 3 -o /dev/null '${url}?step=install&node=${node}&status='"$1" ||
        echo "install.sh: the server was not told $1" >&2
}
stage() {
    stage=$1
    shift
    say "install.$stage"
    "$@" && return 0
    status=$?
    echo "install.sh: $stage failed with status $status: $*" >&2
    say "install.failed.$stage.$status"
    exit $status
}
stage prescript command -v reimage
stage unpack reimage run --yes --set control.decides=true
say install.success
exit 0
`;
}
