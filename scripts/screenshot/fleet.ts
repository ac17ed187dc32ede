/** A fleet of kiosks on an ordinary morning: most are done, some are being written, a few want a person. */
import { createHash, randomUUID } from "node:crypto";
import type { TestMachine, TestServe } from "../../test/support/control-server.ts";

const GiB = 2 ** 30;
const NEW = "kiosk-2026.11";
const OLD = "kiosk-2026.09";
const SHA256 = createHash("sha256").update(NEW).digest("hex");
const sites = ["ber", "ham", "muc"];
const EACH = 16;

/** What the machine called so is at; the others are done. */
const stories: Readonly<Record<string, Story>> = {
  "kiosk-ber-002": (machine) => write(machine, 0.93),
  "kiosk-ber-004": (machine) => write(machine, 0.62),
  "kiosk-ber-005": (machine) => check(machine, 0.4),
  "kiosk-ber-007": (machine) =>
    fail(machine, "partial", "the readback differs at 1.2 GiB: the disk returned other bytes"),
  "kiosk-ber-009": (machine) => write(machine, 0.31),
  "kiosk-ber-011": (machine) => fail(machine, "untouched", "two disks match model=SSD870"),
  "kiosk-ber-012": async ({ serve, machine }) => {
    await serve.must("POST", `/machines/${machine.id}/reinstalls`, { imageId: NEW });
  },
  "kiosk-ber-014": (machine) => fail(machine, "partial", "the disk has vanished: /dev/sda", 1),
  "kiosk-ham-001": (machine) => write(machine, 0.48),
  "kiosk-ham-003": (machine) => write(machine, 0.12),
  "kiosk-ham-006": (machine) => check(machine, 0.8),
  "kiosk-muc-010": (machine) => write(machine, 0.77),
};

interface Told {
  readonly serve: TestServe;
  readonly machine: TestMachine;
}
type Story = (told: Told) => Promise<void>;

/** @param setHoursAgo sets the endpoint's clock back. */
export async function makeFleet(serve: TestServe, setHoursAgo: (hours: number) => void): Promise<void> {
  for (const id of [NEW, OLD]) {
    await serve.must("PUT", `/images/${id}`, {
      id,
      sha256: SHA256,
      description: "the kiosk, with browser and printer",
    });
  }
  const later: (() => Promise<void>)[] = [];
  let number = 0;
  for (const site of sites) {
    for (let at = 1; at <= EACH; at += 1) {
      number += 1;
      const name = `kiosk-${site}-${String(at).padStart(3, "0")}`;
      setHoursAgo(20 + number);
      const machine = await serve.enrol();
      await serve.must("PATCH", `/machines/${machine.id}`, {
        name,
        serial: `CZC31${String(40_400 + number * 137).slice(-5)}`,
      });
      const told: Told = { serve, machine };
      if (stories[name] === undefined && number % 7 === 3) {
        await begin(told, null);
        continue;
      }
      setHoursAgo(0.2 + (number % 19) * 0.9);
      if (stories[name] === undefined) await finish(told);
      else later.push(() => stories[name]?.(told) ?? Promise.resolve());
    }
  }
  setHoursAgo(0);
  const stranger = createHash("sha256").update("stranger").digest("hex");
  const hardware = { macs: ["3c:52:82:6a:01:9f"], serial: "CZC3199417" };
  await serve.api("POST", "/enrol", { machineId: randomUUID(), ...hardware, tokenSha256: stranger }, null);
  for (const tell of later) await tell();
}

/** The machine asks what to do; a reinstallation was requested before, unless `imageId` is null. */
async function begin({ serve, machine }: Told, imageId: string | null, body = {}): Promise<string> {
  const runId = randomUUID();
  const bootInfo = { image_id: OLD, primary_disk: "/dev/sda" };
  await machine.post("instructions", { runId: randomUUID(), bootInfo, isDiskNamed: false });
  if (imageId === null) return runId;
  await serve.must("POST", `/machines/${machine.id}/reinstalls`, { imageId, ...body });
  await machine.post("instructions", { runId, bootInfo, isDiskNamed: false });
  return runId;
}

type Body = { readonly type: string; readonly [name: string]: unknown };

/** Sends the events with 0.7 seconds between them, the last one now. */
async function tell({ machine }: Told, runId: string, bodies: readonly Body[]): Promise<void> {
  const nowMs = Date.now();
  const events = bodies.map((body, at) => {
    return { seq: at + 1, time: new Date(nowMs - (bodies.length - at) * 700).toISOString(), ...body };
  });
  await machine.post("events", { runId, events });
}

const saving: readonly Body[] = [
  { type: "run-started", version: "0.2.0", restarted: false },
  { type: "stage-started", stage: "save" },
  { type: "step", stage: "save", message: "the target is /dev/sda: Samsung SSD 870, 238.5 GiB, serial S4EMNX0R" },
  { type: "step", stage: "save", message: `the image is ${NEW}: signed, 4.2 GiB of 16.0 GiB are mapped` },
];
const saved: readonly Body[] = [
  ...saving,
  { type: "warning", stage: "save", message: "/var/lib/kiosk/cache matches nothing" },
  { type: "step", stage: "save", message: "214 files and directories are retained, 3249152 bytes" },
  { type: "stage-finished", stage: "save", seconds: 12 },
  { type: "stage-started", stage: "write" },
  { type: "target-state", state: "partial" },
  { type: "step", stage: "write", message: "writing to /dev/sda, zstd; it does not boot until the end" },
];

const progress = (stage: string, what: string, done: number): Body => {
  return { type: "progress", stage, what, doneBytes: Math.round(done * 4.2 * GiB), totalBytes: Math.round(4.2 * GiB) };
};
/** Some progress, up to `done`. */
const upTo = (stage: string, what: string, done: number) =>
  Array.from({ length: 12 }, (_, at) => progress(stage, what, done - (11 - at) * 0.006));

const write = async (told: Told, done: number) =>
  await tell(told, await begin(told, NEW), [...saved, ...upTo("write", "writing the image", done)]);
const check = async (told: Told, done: number) =>
  await tell(told, await begin(told, NEW), [...saving, ...upTo("save", "checking the image", done)]);

async function fail(told: Told, state: "untouched" | "partial", reason: string, mostAttempts = 3): Promise<void> {
  const runId = await begin(told, NEW, { mostAttempts });
  await tell(told, runId, state === "partial" ? saved : saving);
  await told.machine.post("abort-reinstall", { runId, target: { state }, reason });
}

async function finish(told: Told): Promise<void> {
  const runId = await begin(told, NEW);
  await tell(told, runId, [...saved, { type: "run-finished", target: "complete" }]);
  const report = {
    schemaVersion: 1,
    outcome: "success",
    stage: null,
    target: "complete",
    reason: null,
    image: { id: NEW, sha256: SHA256 },
    readback: SHA256,
  };
  await told.machine.post("report", { runId, report, bootInfo: { image_id: NEW, primary_disk: "/dev/sda" } });
}
