/** Requests as bytes, for what no well-behaved client sends. */
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** What came back until the connection was closed, or the first answer was whole. */
export interface RawAnswer {
  /** 0: the connection was closed without an answer. */
  readonly status: number;
  readonly text: string;
}

/** Sends bytes to `url`'s address, and reads one answer. */
export async function rawRequest(url: string, bytes: string | Uint8Array): Promise<RawAnswer> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  try {
    return await readAnswer(socket, bytes);
  } finally {
    socket.destroy();
  }
}

function readAnswer(socket: Socket, bytes: string | Uint8Array): Promise<RawAnswer> {
  return new Promise((resolve) => {
    let text = "";
    const end = () => resolve({ status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0), text });
    socket.on("connect", () => socket.write(bytes));
    socket.on("data", (data) => {
      text += data.toString("latin1");
      const [, head = "", body = ""] = /^([\s\S]*?)\r\n\r\n([\s\S]*)$/.exec(text) ?? [];
      const length = /^content-length: (\d+)/im.exec(head)?.[1];
      if (length !== undefined && body.length >= Number(length)) end();
    });
    socket.on("error", end);
    socket.on("close", end);
  });
}

/** A connection that sends `head`, then `piece` again and again. */
export interface Trickle extends Disposable {
  /** Resolves when the other side has closed it. */
  readonly closed: Promise<void>;
}

export function trickle(url: string, head: string, piece: string, everyMilliseconds: number, isTls = false): Trickle {
  const { hostname, port } = new URL(url);
  const to = { host: hostname, port: Number(port) };
  const socket = isTls ? connectTls({ ...to, rejectUnauthorized: false }) : connect(to);
  let timer: ReturnType<typeof setInterval> | null = null;
  socket.on(isTls ? "secureConnect" : "connect", () => {
    socket.write(head);
    timer = setInterval(() => socket.write(piece), everyMilliseconds);
  });
  socket.on("data", () => {}); // or the end would not be noticed
  socket.on("error", () => {});
  const closed = new Promise<void>((resolve) => {
    socket.on("close", () => {
      if (timer !== null) clearInterval(timer);
      resolve();
    });
  });
  return { closed, [Symbol.dispose]: () => void socket.destroy() };
}
