/** A `serve` that can be killed as the power would. */
import { join } from "node:path";

export interface KillableServe extends AsyncDisposable {
  readonly url: string;
  /** SIGKILL: nothing is tidied up. */
  kill(): Promise<void>;
}

export interface KillableOptions {
  readonly dataDir: string;
  readonly databaseUrl: string | null;
  readonly pxelinux?: { readonly root: string; readonly configurationsDir: string; readonly retryWindowMs?: number };
  /** How far its clock is ahead of ours. */
  readonly clockAheadMs?: number;
}

export async function startKillableServe(options: KillableOptions): Promise<KillableServe> {
  const script = join(import.meta.dir, "serve-and-wait.ts");
  const child = Bun.spawn([process.execPath, script, JSON.stringify(options)], { stdout: "pipe", stderr: "inherit" });
  const kill = async () => {
    child.kill("SIGKILL");
    await child.exited;
  };
  let text = "";
  for await (const chunk of child.stdout) {
    text += Buffer.from(chunk).toString();
    if (text.includes("\n")) break;
  }
  if (!text.startsWith("http")) {
    await kill();
    throw new Error("serve did not start");
  }
  return { url: text.trim(), kill, [Symbol.asyncDispose]: kill };
}
