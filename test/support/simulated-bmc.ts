/**
 * A simulated BMC on loopback: ipmi_sim of Debian's openipmi (ipmi_sim(1), ipmi_lan(5)). The machine behind it is a directory
 * with a file for each thing that a BMC can set, which a script of ours reads and writes.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";

export interface SimulatedBmc extends AsyncDisposable {
  readonly port: number;
  /** The variables of the ipmitool presets for this BMC. */
  variables(machine: string): { machine: string; address: string; port: string; user: string; password: string };
  /** What was set so far, in order: `power 1`, `reset 1`, `boot pxe`; `boot default` is the disk. */
  sets(): string[];
  setPower(power: "on" | "off"): void;
  /** The BMC takes so long for everything that it is asked of the machine. */
  setDelay(seconds: number): void;
  /** The BMC refuses to set one of `power`, `reset`, `boot`. */
  refuse(thing: "power" | "reset" | "boot"): void;
}

const USER = "admin";
const FIRST_PASSWORD = "first";

/** `<address> get <thing>…` and `<address> set <thing> <value>…`, as the sample of the package's sources has it. */
const chassisScript = (directory: string) => `#!/bin/sh
cd '${directory}' || exit 1
op=$2
shift 2
[ -e delay ] && sleep "$(cat delay)"
while [ $# -gt 0 ]; do
  if [ "$op" = get ]; then
    echo "$1:$(cat "$1")"
    shift
  else
    [ -e "refuse-$1" ] && { echo "$1 is refused"; exit 1; }
    echo "$1 $2" >> sets
    [ "$1" = reset ] || echo "$2" > "$1"
    shift 2
  fi
done
`;

const lanConfig = (directory: string, port: number, password: string) => `name "simulated"
set_working_mc 0x20
startlan 1
addr 127.0.0.1 ${port}
priv_limit admin
allowed_auths_admin none md2 md5 straight
guid a123456789abcdefa123456789abcdef
endlan
chassis_control "${directory}/chassis 0x20"
user 2 true "${USER}" "${password}" admin 10 none md2 md5 straight
`;

const controllers = `mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
mc_enable 0x20
`;

/** Starts a BMC whose machine is off. @param password at most 20 bytes (IPMI 2.0), any characters */
export async function startSimulatedBmc(password = "plain"): Promise<SimulatedBmc> {
  const directory = mkdtempSync(join(tmpdir(), "reimage-bmc-"));
  const at = (name: string) => join(directory, name);
  const write = (name: string, text: string, mode = 0o600) => writeFileSync(at(name), text, { mode });
  const isPlain = /^\w+$/.test(password); // its configuration file has no quoting; IPMI itself has no such limits
  const port = await freeUdpPort();
  mkdirSync(at("state"));
  write("power", "0\n");
  write("boot", "none\n");
  write("sets", "");
  write("chassis", chassisScript(directory), 0o700);
  write("lan.conf", lanConfig(directory, port, isPlain ? password : FIRST_PASSWORD));
  write("sim.emu", controllers);

  const args = ["-c", at("lan.conf"), "-f", at("sim.emu"), "-s", at("state"), "-n"];
  const simulator = execa("ipmi_sim", args, { reject: false, all: true, stdin: "ignore" });
  const bmc: SimulatedBmc = {
    port,
    variables: (machine) => ({ machine, address: "127.0.0.1", port: String(port), user: USER, password }),
    sets: () => readFileSync(at("sets"), "utf8").split("\n").slice(0, -1),
    setPower: (power) => write("power", power === "on" ? "1\n" : "0\n"),
    setDelay: (seconds) => write("delay", `${seconds}\n`),
    refuse: (thing) => write(`refuse-${thing}`, ""),
    async [Symbol.asyncDispose]() {
      simulator.kill("SIGKILL");
      await simulator;
      rmSync(directory, { recursive: true, force: true });
    },
  };
  try {
    while (!isListening(port)) {
      const end = await Promise.race([simulator, Bun.sleep(10)]);
      if (end !== undefined) throw new Error(`ipmi_sim ended: ${end.all}`);
    }
    if (!isPlain) {
      const session = ["-I", "lanplus", "-C", "3", "-H", "127.0.0.1", "-p", String(port), "-U", USER, "-E"];
      const env = { IPMI_PASSWORD: FIRST_PASSWORD };
      await execa("ipmitool", [...session, "user", "set", "password", "2", password, "20"], { env });
    }
    return bmc;
  } catch (error) {
    await bmc[Symbol.asyncDispose]();
    throw error;
  }
}

/** A BMC that is not there: a port that takes packets and says nothing. */
export async function startSilentBmc(): Promise<SilentBmc> {
  const socket = createSocket("udp4");
  let packets = 0;
  socket.on("message", () => packets++);
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const port = String(socket.address().port);
  return {
    variables: (machine) => ({ machine, address: "127.0.0.1", port, user: USER, password: "unheard" }),
    packets: () => packets,
    async [Symbol.asyncDispose]() {
      socket.close();
      await once(socket, "close");
    },
  };
}

export interface SilentBmc extends AsyncDisposable {
  variables: SimulatedBmc["variables"];
  /** How many packets have come. */
  packets(): number;
}

async function freeUdpPort(): Promise<number> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  await once(socket, "close");
  return port;
}

/** Whether something is bound to a UDP port (proc_net(5)): asking the BMC itself would take seconds where it is not up. */
function isListening(port: number): boolean {
  const local = `:${port.toString(16).toUpperCase().padStart(4, "0")} `;
  return existsSync("/proc/net/udp") && readFileSync("/proc/net/udp", "utf8").includes(local);
}
