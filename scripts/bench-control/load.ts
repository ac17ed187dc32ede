/**
 * The load: many machines, each with a connection of its own that it keeps, each sending an event at a time every few
 * seconds. A process of its own; LOAD holds its options as JSON, the results go to standard output.
 */
import type { Socket } from "bun";
import { quantile, round } from "./figures.ts";
import { makeFleet } from "./fleet.ts";
import type { LoadOptions, LoadResults } from "./load-options.ts";

interface Sender {
  socket: Socket<Sender> | null;
  readonly head: string;
  readonly runId: string;
  seq: number;
  readonly acknowledged: number[];
  sentAtMs: number;
  isWaiting: boolean;
  received: string;
}

const options: LoadOptions = JSON.parse(process.env.LOAD ?? "{}");
const { machines, ports, intervalSeconds, warmUpSeconds, measuredSeconds } = options;
const latencies: number[] = [];
const lateness: number[] = [];
let acknowledged = 0;
let refused = 0;
let sent = 0;
let isMeasuring = false;
let measuredSent = 0;

const senders = makeFleet(machines).map(({ id, runId, token }, index): Sender => {
  const path = `/api/v1/machines/${id}/events`;
  const lines = [`POST ${path} HTTP/1.1`, `Host: 127.0.0.1:${ports[index % ports.length]}`];
  const head = [...lines, `Authorization: Bearer ${token}`, "Content-Type: application/json", ""].join("\r\n");
  return { socket: null, head, runId, seq: 0, acknowledged: [], sentAtMs: 0, isWaiting: false, received: "" };
});

function send(sender: Sender): void {
  if (sender.isWaiting || sender.socket === null) return; // counted: it shows as fewer requests than there should be
  sender.seq += 1;
  const time = new Date().toISOString();
  const event = {
    ...{ seq: sender.seq, time, type: "progress", stage: "write", what: "writing the image" },
    ...{ doneBytes: sender.seq << 16, totalBytes: 8 << 20 },
  };
  const body = JSON.stringify({ runId: sender.runId, events: [event] });
  sender.isWaiting = true;
  sender.sentAtMs = performance.now();
  sent += 1;
  if (isMeasuring) measuredSent += 1;
  const request = `${sender.head}Content-Length: ${body.length}\r\n\r\n${body}`;
  if (sender.socket.write(request) !== request.length) throw new Error("a request did not go out at once");
}

function take(sender: Sender, text: string): void {
  sender.received += text;
  const headEnd = sender.received.indexOf("\r\n\r\n");
  if (headEnd === -1) return;
  const length = Number(/content-length: (\d+)/i.exec(sender.received.slice(0, headEnd))?.[1] ?? 0);
  if (sender.received.length < headEnd + 4 + length) return;
  const elapsedMs = performance.now() - sender.sentAtMs;
  const status = sender.received.slice(9, 12);
  sender.received = "";
  sender.isWaiting = false;
  if (status === "200") {
    acknowledged += 1;
    sender.acknowledged.push(sender.seq);
  } else refused += 1;
  if (isMeasuring) latencies.push(elapsedMs);
}

async function connect(sender: Sender, port: number): Promise<void> {
  await Bun.connect<Sender>({
    hostname: "127.0.0.1",
    port,
    data: sender,
    socket: {
      open(socket) {
        socket.data.socket = socket;
        socket.setNoDelay(true);
      },
      data: (socket, chunk) => take(socket.data, chunk.toString("latin1")),
      close(socket) {
        if (socket.data.isWaiting) refused += 1;
        socket.data.socket = null;
      },
      error() {},
    },
  });
}

for (let first = 0; first < senders.length; first += 100) {
  const part = senders.slice(first, first + 100);
  await Promise.all(part.map((sender, i) => connect(sender, ports[(first + i) % ports.length] ?? 0)));
}

// Each machine has its moment in the interval.
const startMs = performance.now();
const stepMs = (intervalSeconds * 1000) / machines;
const endMs = (warmUpSeconds + measuredSeconds) * 1000;
let next = 0;
let cpuBefore = process.cpuUsage();
while (next * stepMs < endMs) {
  const elapsedMs = performance.now() - startMs;
  if (!isMeasuring && elapsedMs >= warmUpSeconds * 1000) {
    isMeasuring = true;
    cpuBefore = process.cpuUsage();
  }
  while (next * stepMs <= elapsedMs && next * stepMs < endMs) {
    if (isMeasuring) lateness.push(elapsedMs - next * stepMs);
    send(senders[next % machines] as Sender);
    next += 1;
  }
  await Bun.sleep(1);
}
const cpu = process.cpuUsage(cpuBefore);
isMeasuring = false;
const deadlineMs = performance.now() + 10_000;
while (senders.some(({ isWaiting }) => isWaiting) && performance.now() < deadlineMs) await Bun.sleep(10);
for (const { socket } of senders) socket?.end();

const results: LoadResults = {
  p50_ms: quantile(latencies, 0.5),
  p99_ms: quantile(latencies, 0.99),
  max_ms: quantile(latencies, 1),
  sent,
  acknowledged,
  refused,
  requests_per_s: Math.round(measuredSent / measuredSeconds),
  lateness_p99_ms: quantile(lateness, 0.99),
  generator_cpu: round((cpu.user + cpu.system) / 1e6 / measuredSeconds),
  acknowledgedOf: senders.map((sender) => sender.acknowledged),
};
await Bun.write(Bun.stdout, JSON.stringify(results)); // all of it, before the process ends
process.exit(0);
