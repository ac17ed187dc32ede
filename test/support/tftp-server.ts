/** Debian's in.tftpd on the loopback device, confined to a directory; and clients. Needs root. */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { join } from "node:path";
import { runTestCommand, temporaryDirectory } from "./loop-device.ts";

export interface TftpServer extends AsyncDisposable {
  readonly port: number;
  /** Fetches a file as curl does; null where the server has none of that name. */
  get(path: string): Promise<string | null>;
  /** The same with the client of tftp-hpa. */
  getWithTftp(path: string): Promise<string>;
}

/** Starts the server; it runs as nobody and sees nothing but `root`. `knownFile` is fetched until it answers. */
export async function startTftpServer(root: string, knownFile: string): Promise<TftpServer> {
  const port = await freeUdpPort();
  const server = Bun.spawn(
    ["in.tftpd", "--foreground", "--listen", "--secure", "--user", "nobody", "--address", `127.0.0.1:${port}`, root],
    { stdin: "ignore", stdout: "ignore", stderr: "ignore", env: { PATH: "/usr/sbin:/usr/bin" } },
  );
  const get = async (path: string, limitSeconds = 20): Promise<string | null> => {
    const client = Bun.spawn(
      ["curl", "--silent", "--show-error", "--max-time", String(limitSeconds), `tftp://127.0.0.1:${port}/${path}`],
      {
        stdout: "pipe",
        stderr: "pipe",
      },
    );
    const [text, complaint, status] = await Promise.all([
      new Response(client.stdout).text(),
      new Response(client.stderr).text(),
      client.exited,
    ]);
    const NO_SUCH_FILE = 68;
    if (status === NO_SUCH_FILE) return null;
    if (status !== 0) throw new Error(`curl of ${path} ended with status ${status}: ${complaint}`);
    return text;
  };
  while ((await get(knownFile, 1).catch(() => null)) === null) await Bun.sleep(20);
  return {
    port,
    get,
    async getWithTftp(path) {
      await using directory = await temporaryDirectory();
      const copy = join(directory.dir, "copy");
      await runTestCommand(["tftp", "-m", "octet", "127.0.0.1", String(port), "-c", "get", path, copy]);
      return await Bun.file(copy).text();
    },
    async [Symbol.asyncDispose]() {
      server.kill("SIGKILL");
      await server.exited;
    },
  };
}

/** A client that sends what it is told, packet by packet (RFC 1350), from a port of its own. */
export interface TftpPackets extends Disposable {
  /** A read request, with options of RFC 2347 as `name, value` pairs. */
  request(path: string, ...options: string[]): void;
  /** The next packet of the server: its number (3 data, 5 error, 6 options acknowledged) and the rest. */
  receive(): Promise<{ readonly opcode: number; readonly rest: Buffer }>;
  acknowledge(block: number): void;
  /** Ends the transfer, as firmware does that wanted to know the size only. */
  abort(): void;
}

export async function openTftpPackets(port: number): Promise<TftpPackets> {
  const socket: Socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  let peerPort = port;
  const packet = (opcode: number, rest: Buffer) => Buffer.concat([Buffer.of(0, opcode), rest]);
  return {
    request(path, ...options) {
      const words = [path, "octet", ...options].map((word) => `${word}\0`).join("");
      socket.send(packet(1, Buffer.from(words)), port, "127.0.0.1");
    },
    async receive() {
      const [message, peer] = (await once(socket, "message")) as [Buffer, { port: number }];
      peerPort = peer.port;
      return { opcode: message.readUInt16BE(0), rest: message.subarray(2) };
    },
    acknowledge: (block) => socket.send(packet(4, Buffer.of(block >> 8, block & 255)), peerPort, "127.0.0.1"),
    abort: () => socket.send(packet(5, Buffer.from("\0\0that was all\0")), peerPort, "127.0.0.1"),
    [Symbol.dispose]: () => socket.close(),
  };
}

async function freeUdpPort(): Promise<number> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  return port;
}
