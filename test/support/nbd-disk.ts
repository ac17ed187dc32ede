/**
 * A disk in memory that QEMU attaches over a socket, and that can be told to lie or to fail: a server for the network block
 * device protocol (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md), fixed newstyle, simple replies.
 */
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";

/** What becomes of a request: done as it should be; acknowledged, and nothing else; answered with EIO. */
export type Fate = "done" | "ignored" | "failed";

/** Asked before a request is acknowledged. What is absent is done as it should be. Buffers may be changed. */
export interface DiskFaults {
  write?(offsetBytes: number, data: Buffer): Fate | Promise<Fate>;
  /** WRITE_ZEROES and TRIM: without data, so that the disk has to make the zeros by itself. */
  zero?(offsetBytes: number, sizeBytes: number): Fate | Promise<Fate>;
  /** `data` is what the disk holds there, and what will be sent. */
  read?(offsetBytes: number, data: Buffer): Fate;
  flush?(): Fate;
}

/** Whether a request reaches over a byte. */
export function touches(offsetBytes: number, sizeBytes: number, atByte: number): boolean {
  return offsetBytes <= atByte && atByte < offsetBytes + sizeBytes;
}

const optionMagic = 0x49484156454f5054n; // IHAVEOPT
const replyMagic = 0x3e889045565a9n;
const requestMagic = 0x25609513;
const simpleReplyMagic = 0x67446698;
const options = { abort: 2, info: 6, go: 7 } as const;
const replies = { ack: 1, info: 3, unsupported: 0x80000001 } as const;
const commands = { read: 0, write: 1, disconnect: 2, flush: 3, trim: 4, writeZeroes: 6 } as const;
const transmissionFlags = 1 | 4 | 32 | 64; // has flags; sends flush, trim, write zeroes
const errors = { io: 5, invalid: 22 } as const;

export class NbdDisk implements AsyncDisposable {
  /** What is on it, whatever it says. */
  readonly content: Buffer;
  readonly socketPath: string;
  faults: DiskFaults = {};
  private readonly sockets = new Set<Socket>();
  private readonly server: Server;

  private constructor(socketPath: string, content: Buffer) {
    this.socketPath = socketPath;
    this.content = content;
    this.server = createServer((socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
      socket.on("error", () => {}); // QEMU ends when its test does
      this.serve(socket).catch((error) => socket.destroy(error as Error));
    });
  }

  /** @param fill what each byte of it is */
  static async start(socketPath: string, sizeBytes: number, fill = 0): Promise<NbdDisk> {
    const disk = new NbdDisk(socketPath, Buffer.alloc(sizeBytes, fill));
    disk.server.listen(socketPath);
    await once(disk.server, "listening");
    return disk;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.server, "close");
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private async serve(socket: Socket): Promise<void> {
    const take = createTaker(socket);
    const hello = Buffer.alloc(18);
    hello.write("NBDMAGICIHAVEOPT", "latin1");
    hello.writeUInt16BE(3, 16); // fixed newstyle, no padding
    socket.write(hello);
    await take(4); // the client's flags, which can only say the same
    if (await this.negotiate(socket, take)) while (await this.answer(socket, take));
    socket.end();
  }

  /** @returns whether requests follow. */
  private async negotiate(socket: Socket, take: Taker): Promise<boolean> {
    const reply = (option: number, type: number, data = Buffer.alloc(0)) => {
      const head = Buffer.alloc(20);
      head.writeBigUInt64BE(replyMagic, 0);
      head.writeUInt32BE(option, 8);
      head.writeUInt32BE(type, 12);
      head.writeUInt32BE(data.length, 16);
      socket.write(Buffer.concat([head, data]));
    };
    for (;;) {
      const head = await take(16);
      if (head === null || head.readBigUInt64BE(0) !== optionMagic) return false;
      const option = head.readUInt32BE(8);
      await take(head.readUInt32BE(12)); // the name of the export: there is one
      if (option !== options.info && option !== options.go) {
        reply(option, option === options.abort ? replies.ack : replies.unsupported);
        if (option === options.abort) return false;
        continue;
      }
      const facts = Buffer.alloc(12); // NBD_INFO_EXPORT: type 0, size, flags
      facts.writeBigUInt64BE(BigInt(this.content.length), 2);
      facts.writeUInt16BE(transmissionFlags, 10);
      reply(option, replies.info, facts);
      reply(option, replies.ack);
      if (option === options.go) return true;
    }
  }

  /** Answers one request. @returns whether there may be more. */
  private async answer(socket: Socket, take: Taker): Promise<boolean> {
    const request = await take(28);
    if (request === null || request.readUInt32BE(0) !== requestMagic) return false;
    const command = request.readUInt16BE(6);
    if (command === commands.disconnect) return false;
    const offsetBytes = Number(request.readBigUInt64BE(16));
    const sizeBytes = request.readUInt32BE(24);
    const sent = command === commands.write ? await take(sizeBytes) : null;
    const { error, data } = await this.carryOut(command, offsetBytes, sizeBytes, sent);
    const head = Buffer.alloc(16);
    head.writeUInt32BE(simpleReplyMagic, 0);
    head.writeUInt32BE(error, 4);
    request.copy(head, 8, 8, 16); // the cookie
    socket.write(head);
    if (data !== null && error === 0) socket.write(data);
    return true;
  }

  private async carryOut(command: number, offsetBytes: number, sizeBytes: number, sent: Buffer | null) {
    const here = this.content.subarray(offsetBytes, offsetBytes + sizeBytes);
    if (here.length < sizeBytes) return { error: errors.invalid, data: null };
    let fate: Fate = "done";
    let data: Buffer | null = null;
    if (command === commands.read) {
      data = Buffer.from(here);
      fate = this.faults.read?.(offsetBytes, data) ?? "done";
    } else if (command === commands.write && sent !== null) {
      fate = (await this.faults.write?.(offsetBytes, sent)) ?? "done";
      if (fate === "done") here.set(sent);
    } else if (command === commands.trim || command === commands.writeZeroes) {
      fate = (await this.faults.zero?.(offsetBytes, sizeBytes)) ?? "done";
      if (fate === "done") here.fill(0);
    } else if (command === commands.flush) fate = this.faults.flush?.() ?? "done";
    else return { error: errors.invalid, data };
    return { error: fate === "failed" ? errors.io : 0, data };
  }
}

/** The next bytes of a connection; null where it ends before. */
type Taker = (sizeBytes: number) => Promise<Buffer | null>;

function createTaker(socket: Socket): Taker {
  const chunks: AsyncIterator<Buffer> = socket[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);
  return async (sizeBytes) => {
    const parts = [held];
    let heldBytes = held.length;
    while (heldBytes < sizeBytes) {
      const next = await chunks.next();
      if (next.done === true) return null;
      parts.push(next.value);
      heldBytes += next.value.length;
    }
    const all = parts.length === 1 ? held : Buffer.concat(parts);
    held = all.subarray(sizeBytes);
    return all.subarray(0, sizeBytes);
  };
}
