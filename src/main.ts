/** argv → command; nothing else. */
import { abortCommand } from "./commands/abort.ts";
import type { Command } from "./commands/command.ts";
import { exitStatus, statusOfRefusal } from "./commands/command.ts";
import { enrollCommand } from "./commands/enroll.ts";
import { runInit } from "./commands/init.ts";
import { packCommand } from "./commands/pack.ts";
import { planCommand } from "./commands/plan.ts";
import { reportCommand } from "./commands/report.ts";
import { runCommand } from "./commands/run.ts";
import { asReimageError, describeError, ReimageError } from "./errors.ts";
import { version } from "./version.ts";

const initCommand: Command = {
  name: "init",
  summary: "the whole run as the initramfs's init; ends by rebooting the machine",
  usage:
    "reimage init\n\nTakes no options: /etc/reimage/reimage.yaml and reimage.<key>=<value> on the kernel command line configure it.\n",
  async run() {
    await runInit();
    return exitStatus.done;
  },
};

const commands: readonly Command[] = [
  planCommand,
  runCommand,
  packCommand,
  initCommand,
  reportCommand,
  abortCommand,
  enrollCommand,
];

function usage(): string {
  const list = commands.map(({ name, summary }) => `  ${name.padEnd(8)} ${summary}`).join("\n");
  return `reimage ${version}: replaces the whole operating system of a machine, and keeps its identity

usage: reimage COMMAND [options]

${list}

\`reimage COMMAND --help\` says more.
`;
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "help") {
    process.stdout.write(usage());
    return name === undefined ? exitStatus.usage : exitStatus.done;
  }
  if (name === "--version") {
    process.stdout.write(`${version}\n`);
    return exitStatus.done;
  }
  const command = commands.find((each) => each.name === name);
  if (command === undefined) {
    throw new ReimageError("usage", `${name} is no command of reimage`, {
      hint: "`reimage --help` lists the commands",
    });
  }
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
