/** A power adapter for tests: a small program that remembers what it was told. */
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { changeMachine } from "../../src/control/server/operations/machines.ts";
import { type PowerAdapter, powerAdapterSchema } from "../../src/control/server/power/adapter.ts";
import type { TestServe } from "./control-server.ts";

export interface PowerProgram extends AsyncDisposable {
  readonly adapter: PowerAdapter;
  /** Lets a machine be switched by it; the machine is on. `host` is what the program calls it. */
  give(serve: TestServe, machineId: string, variables: { host: string; [name: string]: string }): Promise<void>;
  /** What was switched, in order: `reset h1`. */
  did(): Promise<string[]>;
}

export async function openPowerProgram(): Promise<PowerProgram> {
  const directory = await mkdtemp(join(tmpdir(), "reimage-power-"));
  const program = join(directory, "power");
  await writeFile(
    program,
    `#!/bin/sh
cd '${directory}' || exit 1
case $1 in
status) cat "$2.state"; exit ;;
off) echo off >"$2.state" ;;
*) echo on >"$2.state" ;;
esac
echo "$1 $2" >>did
`,
  );
  await chmod(program, 0o755);
  const commands = Object.fromEntries(
    ["on", "off", "reset", "status"].map((action) => [action, [program, action, "{{host}}"]]),
  );
  const env = { ADDRESS: "{{address}}", ACCOUNT: "{{user}}", PASSWORD: "{{password}}" };
  const patterns = { statusOn: "^on$", statusOff: "^off$" };
  return {
    adapter: powerAdapterSchema.parse({ name: "program", commands, env, ...patterns }),
    async give(serve, machineId, variables) {
      await writeFile(join(directory, `${variables.host}.state`), "on\n");
      const actor = { name: "admin:test", address: null };
      await changeMachine(serve.serve.endpoint.store, actor, machineId, { power: { adapter: "program", variables } });
    },
    did: async () => (await readFile(join(directory, "did"), "utf8").catch(() => "")).split("\n").slice(0, -1),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  };
}
