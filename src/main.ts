/** argv → command; nothing else. */
import type { Command } from "./commands/command.ts";
import { exitStatus, statusOfRefusal } from "./commands/command.ts";
import { asReimageError, describeError, ReimageError } from "./errors.ts";
import { version } from "./version.ts";

const initCommand: Command = {
  name: "init",
  summary: "the whole run as the initramfs's init; ends by rebooting the machine",
  usage:
    "reimage init\n\nTakes no options: /etc/reimage/reimage.yaml and reimage.<key>=<value> on the kernel command line configure it.\n",
  async run() {
    const { runInit } = await import("./commands/init.ts");
    return await runInit();
  },
};

/** Loaded when they are called: what an endpoint or its command line needs, an initramfs has no time for. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  plan: async () => (await import("./commands/plan.ts")).planCommand,
  run: async () => (await import("./commands/run.ts")).runCommand,
  pack: async () => (await import("./commands/pack.ts")).packCommand,
  init: async () => initCommand,
  arm: async () => (await import("./commands/arm.ts")).armCommand,
  disarm: async () => (await import("./commands/disarm.ts")).disarmCommand,
  status: async () => (await import("./commands/status.ts")).statusCommand,
  report: async () => (await import("./commands/report.ts")).reportCommand,
  abort: async () => (await import("./commands/abort.ts")).abortCommand,
  enroll: async () => (await import("./commands/enroll.ts")).enrollCommand,
  serve: async () => (await import("./commands/serve.ts")).serveCommand,
  fleet: async () => (await import("./commands/fleet/fleet.ts")).fleetCommand,
};

async function usage(): Promise<string> {
  const loaded = await Promise.all(Object.values(commands).map((load) => load()));
  const list = loaded.map(({ name, summary }) => `  ${name.padEnd(8)} ${summary}`).join("\n");
  return `reimage ${version}: replaces the whole operating system of a machine, and keeps its identity

usage: reimage COMMAND [options]

${list}

\`reimage COMMAND --help\` says more.
`;
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "help") {
    process.stdout.write(await usage());
    return name === undefined ? exitStatus.usage : exitStatus.done;
  }
  if (name === "--version") {
    process.stdout.write(`${version}\n`);
    return exitStatus.done;
  }
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load === undefined) {
    throw new ReimageError("usage", `${name} is no command of reimage`, {
      hint: "`reimage --help` lists the commands",
    });
  }
  const command = await load();
  if (rest.includes("--help")) {
    process.stdout.write(command.usage);
    return exitStatus.done;
  }
  return await command.run(rest);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (thrown) {
  const error = asReimageError(thrown);
  const hint = error.hint === undefined ? "" : `\nreimage: what to do: ${error.hint}`;
  process.stderr.write(`reimage: ${describeError(error)}${hint}\n`);
  process.exitCode = statusOfRefusal(error.code);
}
