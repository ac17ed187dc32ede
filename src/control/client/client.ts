/**
 * The control endpoint's client during a run: listens to the events, sends them in the background, and asks where the
 * endpoint decides. It fits what the stages call an overseer.
 */
import { existsSync, mkdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { ControlConfig } from "../../config/schema.ts";
import type { BootInfo } from "../../disk/boot-info.ts";
import { describeError, ReimageError } from "../../errors.ts";
import type { Reporter } from "../../report/events.ts";
import type { RunReport } from "../../report/report-json.ts";
import type { Sink } from "../../report/sink.ts";
import { createBacklog } from "./backlog.ts";
import { deliver } from "./deliver.ts";
import { openEndpoint } from "./endpoint.ts";
import { type Entry, fitting } from "./entries.ts";
import { askInstruction } from "./instructions.ts";
import { openKept } from "./kept.ts";
import { rebuildReport, wireBootInfo } from "./lost-report.ts";
import { readMachineId } from "./machine-id.ts";
import { controlDirectory, earlierQueuePath, keptPath, queuePath } from "./paths.ts";
import { askPermission } from "./permission.ts";
import { formatQueue, handedOverEntries, mostQueueBytes, openQueue } from "./queue.ts";
import { messagesOf } from "./run-messages.ts";
import { startSender } from "./sender.ts";
import { createTeller } from "./teller.ts";
import { defaultTokenFile, parseToken, readTokenFile } from "./token.ts";

export interface ClientOptions {
  readonly config: ControlConfig;
  readonly workDir: string;
  readonly runId: string;
  readonly version: string;
  readonly eventsPath: string;
  readonly reportPath: string;
  /** The file in which an earlier run has left in the old OS what it could not send; null: nowhere. */
  readonly handedOverPath: string | null;
  /** How long an endpoint that decides is waited for. */
  readonly waitSeconds: number;
  readonly emit: Reporter["emit"];
  /** Given the sink at the moment from which on it takes every event. */
  listen(sink: Sink): void;
  /** Resolves once there is a network, or there will be none. */
  readonly network: Promise<unknown>;
  /** @throws ReimageError `aborted` */
  requireNotAborted(): void;
}

/** What was found on the machine; `Found` of stages/overseer.ts. */
interface Found {
  readonly bootInfo: BootInfo | null;
  readonly isDiskNamed: boolean;
  readOldFile(path: string): Promise<Buffer | null>;
}

/** Disposing ends what is under way; what was not sent stays in the work directory. */
export interface Client extends AsyncDisposable {
  agree(found: Found): Promise<{ readonly id: string; readonly sha256: string | null } | null>;
  handOver(report: RunReport, bootInfo: BootInfo): string | null;
  /** The run has ended, and report.json says how. Sends what is left, for a few seconds at most. */
  finish(): Promise<void>;
  /** Whether the endpoint has said that the machine shall stay up for somebody to look at it. */
  isRescueWanted(): boolean;
}

/** What goes into the new OS: beside a log, and never much. */
const mostHandedOverBytes = 1 << 20;
const FLUSH_MS = 10_000;
const FLUSH_NOTHING_TAKEN_MS = 2_000;
/** For a report that the endpoint is waiting for. */
const FLUSH_WANTED_MS = 60_000;

/** @throws ReimageError `config` for a token or CA certificates that cannot be read. */
export async function openClient(options: ClientOptions): Promise<Client> {
  const { config, workDir, runId, emit } = options;
  mkdirSync(controlDirectory(workDir), { recursive: true, mode: 0o700 });
  const kept = openKept(keptPath(workDir));
  const tokenFile = config.tokenFile ?? defaultTokenFile;
  let token = config.token ?? readTokenFile(tokenFile) ?? kept.get().oldToken;
  const hasToken = Promise.withResolvers<void>();
  if (token !== null) hasToken.resolve();
  const endpoint = await openEndpoint({ config, token: () => token, version: options.version });
  const own = openQueue(queuePath(workDir));
  const earlier = openQueue(earlierQueuePath(workDir));
  const tell = createTeller(endpoint, emit);
  let id: string | null = null;
  const machineId = () => {
    id ??= readMachineId(config.machine);
    return id;
  };
  const sender = startSender({
    queues: [earlier, own],
    ready: Promise.all([options.network, hasToken.promise]).then(() => {}),
    async deliver(batch, signal) {
      const verdict = await deliver(endpoint, machineId(), batch, signal);
      if (verdict !== null) tell.verdict(verdict.says, verdict.isDoubted);
      tell.clock();
    },
    onRefused: tell.refused,
    onTaken: tell.taken,
  });
  const backlog = createBacklog({ ...options, decides: config.decides, own, kept });
  backlog.catchUp();
  options.listen({
    name: "the queue of the control endpoint",
    receive(event) {
      try {
        own.add({ kind: "event", runId, event: { ...event } });
      } finally {
        sender.wake();
      }
    },
  });
  let held: readonly Entry[] = [];
  const handedOverRuns = new Set<string>();
  let isRescueWanted = false;

  /** The old OS is there: what it keeps for the endpoint. */
  async function meetOldOs({ readOldFile }: Found): Promise<void> {
    try {
      const text = token === null ? await readOldFile(tokenFile) : null;
      if (text !== null) {
        token = parseToken(text.toString("latin1"), tokenFile);
        kept.change({ oldToken: token });
      }
      if (token === null && config.tokenFile !== null) {
        tell.warn(`${tokenFile} (control.tokenFile) is neither here nor in the old OS: the endpoint is told nothing`);
      }
      const { handedOverPath } = options;
      const isNew = handedOverPath !== null && !existsSync(earlier.path);
      const left = isNew ? await readOldFile(handedOverPath) : null;
      if (left !== null && left.length <= mostQueueBytes) {
        held = handedOverEntries(left.toString("utf8"), machineId());
        for (const entry of held) if (entry.kind === "report") handedOverRuns.add(entry.message.runId);
      }
    } catch (error) {
      tell.warn(`what the old OS has for the endpoint cannot be read: ${describeError(error)}`);
    }
    hasToken.resolve();
    sender.wake();
  }

  /** Sends on what an earlier run has left. Where the endpoint decides, not before it knows whose words they are not. */
  function sendHeld(): void {
    const entries = held;
    held = [];
    try {
      for (const entry of entries) earlier.add(entry);
    } catch (error) {
      tell.warn(`what an earlier run has left cannot be kept: ${describeError(error)}`);
    }
    sender.wake();
  }

  async function sendReport(wanted: string, bootInfo: BootInfo | null): Promise<string> {
    const isHandedOver = handedOverRuns.has(wanted); // and sent by now, or about to be
    const rebuilt = bootInfo === null ? null : rebuildReport(bootInfo);
    if (!isHandedOver && rebuilt?.runId === wanted) earlier.add({ kind: "report", message: rebuilt });
    else if (!isHandedOver) {
      throw new ReimageError(
        "control",
        `${endpoint.name} misses the report of run ${wanted}, and nothing here proves it`,
        {
          hint: "nothing was written; look what the machine runs, and correct the endpoint",
        },
      );
    }
    const isSent = await sender.flush(FLUSH_WANTED_MS);
    return isSent ? "its report was sent" : "its report could not be sent, and is sent by the next run";
  }

  return {
    async agree(found) {
      await meetOldOs(found);
      if (!config.decides) {
        sendHeld();
        return null;
      }
      const limitMs = options.waitSeconds * 1000;
      const startMs = performance.now();
      let isAnswered = false;
      await Promise.race([options.network, sleep(limitMs, undefined, { ref: false })]);
      const { image } = await askPermission(found, {
        runId,
        emit,
        sendReport,
        sleep,
        requireNotAborted: options.requireNotAborted,
        onRescue: () => {
          isRescueWanted = true;
        },
        async ask(request) {
          const instruction = await askInstruction(endpoint, machineId(), request, {
            limitMs: isAnswered ? limitMs : limitMs - (performance.now() - startMs),
            nowMs: () => performance.now(),
            sleep,
            onAgain: ({ message }) => tell.detail(`${endpoint.name} ${message}; it is asked again`),
          });
          isAnswered = true; // one that says to wait has as long again when it is asked again
          sendHeld();
          return instruction;
        },
      });
      kept.change({ isInstructed: true });
      return { id: image.id, sha256: image.sha256 };
    },
    handOver(report, bootInfo) {
      kept.change({ bootInfo: wireBootInfo(bootInfo) });
      const [message] = messagesOf(report, { bootInfo: kept.get().bootInfo, events: [], isAbortMeant: false });
      const waiting = fitting([...earlier.waiting(), ...own.waiting()], mostHandedOverBytes);
      const entries = message === undefined ? waiting : [...waiting, message];
      return formatQueue(entries, own.lastSeq(), machineId());
    },
    async finish() {
      try {
        backlog.addReport(runId);
        const isSent = await sender.flush(sender.hasTaken() ? FLUSH_MS : FLUSH_NOTHING_TAKEN_MS);
        if (!isSent) tell.unsent();
      } catch (error) {
        tell.warn(`the report cannot be sent: ${describeError(error)}`);
      }
    },
    isRescueWanted: () => isRescueWanted,
    [Symbol.asyncDispose]: () => sender[Symbol.asyncDispose](),
  };
}
