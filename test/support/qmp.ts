/** QEMU's machine protocol: JSON, one message a line; commands are answered in order. */

import type { Socket } from "node:net";

interface Pending {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class Qmp {
  readonly #socket: Socket;
  readonly #pending: Pending[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    let partial = "";
    socket.on("data", (chunk: Buffer) => {
      const lines = (partial + chunk.toString()).split("\n");
      partial = lines.pop() ?? "";
      for (const line of lines) this.#receive(line);
    });
    socket.on("error", (error) => this.#fail(error)).on("close", () => this.#fail(new Error("QEMU has ended")));
  }

  /** Negotiates on a fresh connection; `execute` works from then on. */
  static async open(socket: Socket): Promise<Qmp> {
    const qmp = new Qmp(socket);
    await qmp.execute("qmp_capabilities");
    return qmp;
  }

  execute(command: string, parameters: Record<string, unknown> = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ command, resolve, reject });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: parameters })}\n`);
    });
  }

  #receive(line: string): void {
    const message = JSON.parse(line) as { return?: unknown; error?: { desc: string } };
    if (!("return" in message) && message.error === undefined) return; // the greeting, or an event
    const asked = this.#pending.shift();
    if (message.error === undefined) asked?.resolve(message.return);
    else asked?.reject(new Error(`QMP ${asked.command}: ${message.error.desc}`));
  }

  #fail(error: Error): void {
    for (const asked of this.#pending.splice(0)) asked.reject(error);
  }
}
