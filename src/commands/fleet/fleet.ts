/** `reimage fleet`: what `--help` says of it; the work is loaded when it is called. */
import type { Command } from "../command.ts";

export const fleetCommand: Command = {
  name: "fleet",
  summary: "the command line of a control endpoint: list, reinstall, deploy, follow",
  usage: `reimage fleet [options] COMMAND …

  list [--state STATE] [QUERY]      the machines in whose id, name, serial or MAC the query occurs
  show MACHINE                      all that is known of one
  reinstall MACHINE… --image ID     wipes them and installs the image at their next network boot
    --power-cycle                     boots them from the network now
    --attempts N                      how many runs may fail before it is parked (default 3)
    --reason TEXT                     for those who look later
    --key TEXT                        the same key again is the same request (default: a random one)
  cancel MACHINE…                   takes a reinstallation back whose disk is untouched
  retry MACHINE…                    gives a reinstallation its attempts again that is parked, or unproven
  deploy CONFIGURATION MACHINE…     what their next network boots get; all of them are switched, or none
    --boots N                         for so many boots (default: until something else is deployed)
    --afterwards CONFIGURATION        what comes after these boots (default local)
    --now                             boots them from the network now
  events MACHINE|RUN [--follow]     the log of a run, or of the last one; --follow: as it comes, until the run ends
  power MACHINE ACTION [--wait]     on, off, reset, status, next-boot-network, next-boot-disk
  approve MACHINE --fingerprint F   lets a machine in that has asked; compare F with what the machine shows
  enrolment-code [--machine ID] [--hours N]  a code that lets one machine in, once (default 24 hours)
  images                            what machines can be reinstalled with
  images put ID [--url U] [--sha256 H] [--readback H] [--description T] [--manifest FILE]
  images remove ID
  configurations                    what network boots can get
  configurations put NAME --kernel U [--initrd U]… [--cmdline TEXT]
  configurations put NAME --text FILE --bootloader pxelinux|ipxe|grub
  configurations remove NAME
  token list | token create NAME --role viewer|operator|admin [--days N] | token revoke ID

MACHINE is an id, a name, or a MAC. STATE is one of requested, running, writing, waiting, parked, failed, unproven,
approve, installed, idle; or declared, discovered, approved.

  --server URL       the endpoint (default: REIMAGE_SERVER, else http://127.0.0.1:7050)
  --token-file FILE  the file with your token (default: REIMAGE_TOKEN_FILE); a token is never an argument
  --ca FILE          the CA certificates of the endpoint (default: REIMAGE_CA, else the built-in ones)
  --json             the answer as JSON, as the server gives it
  --yes              asks nothing; without it, what wipes, switches or revokes needs a terminal to ask on

Exit status: 0 done; 2 wrong usage; 3 refused by the server, or it cannot be reached; 4 done for some machines only.
`,
  async run(args) {
    const { runFleet } = await import("./fleet-run.ts");
    return await runFleet(args, process.env);
  },
};
