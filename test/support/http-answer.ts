/** Writing one answer of the web server in http-server.ts, with its fault. */
import { once } from "node:events";
import { type FileHandle, open } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import type { Fault, SeenRequest } from "./http-server.ts";

const pieceBytes = 256 << 10;

/** Answers a request for a file below `directory`. Ends early where the client goes away. */
export async function sendAnswer(socket: Socket, directory: string, request: SeenRequest, fault: Fault): Promise<void> {
  if (socket.destroyed || fault.silent === true) return;
  if (fault.hangUp === true) return void socket.destroy();
  if (fault.raw !== undefined) return void socket.end(fault.raw);
  if (fault.status !== undefined) return sendHead(socket, fault.status, { "content-length": "0", ...fault.headers });

  const path = join(directory, decodeURIComponent(request.path.replace(/\?.*/, "")));
  const file = await open(path, "r").catch(() => null);
  if (file === null) return sendHead(socket, 404, { "content-length": "0" });
  try {
    await sendFile(socket, file, request, fault);
  } finally {
    await file.close();
  }
}

async function sendFile(socket: Socket, file: FileHandle, request: SeenRequest, fault: Fault): Promise<void> {
  const { size, mtime, mtimeMs, ino } = await file.stat();
  const tags = { etag: `"${ino}-${size}-${mtimeMs}"`, "last-modified": mtime.toUTCString(), "accept-ranges": "bytes" };
  const range = fault.ignoreRange === true ? null : request.range;
  if (range !== null && range.startBytes >= size) {
    const headers = { ...tags, "content-range": `bytes */${size}`, "content-length": "0" };
    return sendHead(socket, 416, { ...headers, ...fault.headers });
  }
  const startBytes = range?.startBytes ?? 0;
  const endBytes = Math.min(range?.endBytes ?? size, size);
  sendHead(socket, range === null ? 200 : 206, {
    ...tags,
    ...(range === null ? {} : { "content-range": `bytes ${startBytes}-${endBytes - 1}/${size}` }),
    ...(fault.chunked === true
      ? { "transfer-encoding": "chunked" }
      : { "content-length": String(endBytes - startBytes) }),
    ...fault.headers,
  });
  if (request.method === "HEAD") return;

  let left = fault.onlyBytes ?? Number.POSITIVE_INFINITY;
  for await (const piece of bodyPieces(file, startBytes, endBytes, fault)) {
    const sent = piece.subarray(0, Math.min(piece.length, left));
    left -= sent.length;
    if (!(await send(socket, sent, fault.chunked === true))) return;
    if (left === 0) return endAs(socket, fault.ending ?? "close");
    if (fault.drip !== undefined) await Bun.sleep(fault.drip.everyMs);
  }
  if (fault.chunked === true) socket.write("0\r\n\r\n");
}

async function* bodyPieces(file: FileHandle, startBytes: number, endBytes: number, fault: Fault) {
  const largest = fault.drip?.bytes ?? pieceBytes;
  if (fault.body !== undefined) yield fault.body;
  else {
    for (let at = startBytes; at < endBytes; ) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(Math.min(largest, endBytes - at)), 0, null, at);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
      at += bytesRead;
    }
  }
  if (fault.extra !== undefined) yield fault.extra;
}

/** @returns whether the client is still there */
async function send(socket: Socket, piece: Uint8Array, chunked: boolean): Promise<boolean> {
  if (socket.destroyed) return false;
  if (piece.length === 0) return true;
  const data = chunked
    ? Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n")])
    : piece;
  if (!socket.write(data) && !socket.destroyed) {
    const gone = new AbortController();
    const { signal } = gone;
    await Promise.race([once(socket, "drain", { signal }), once(socket, "close", { signal })]).catch(() => {});
    gone.abort();
  }
  return !socket.destroyed;
}

function endAs(socket: Socket, how: "close" | "reset" | "stall"): void {
  if (how === "close") socket.end();
  if (how === "reset") socket.resetAndDestroy();
}

function sendHead(socket: Socket, status: number, headers: Readonly<Record<string, string | null>>): void {
  const lines = Object.entries(headers).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}`]));
  socket.write([`HTTP/1.1 ${status} Status`, ...lines, "", ""].join("\r\n"));
}
