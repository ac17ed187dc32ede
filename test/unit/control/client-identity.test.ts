import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { aheadBy } from "../../../src/control/client/endpoint.ts";
import { installingRunOf, rebuildReport } from "../../../src/control/client/lost-report.ts";
import {
  parseProductUuid,
  readMachineId,
  readMacs,
  readSerial,
  uuidFromMacs,
} from "../../../src/control/client/machine-id.ts";
import { messagesOf } from "../../../src/control/client/run-messages.ts";
import { digestOf, makeToken, parseToken, readTokenFile } from "../../../src/control/client/token.ts";
import { touchedOf } from "../../../src/control/client/touched.ts";
import { machineIdSchema } from "../../../src/control/protocol/identity.ts";
import { abortMessageSchema, reportMessageSchema } from "../../../src/control/protocol/run.ts";
import { parseBootInfo } from "../../../src/disk/boot-info.ts";
import { ReimageError } from "../../../src/errors.ts";
import type { Event, EventBody } from "../../../src/report/events.ts";
import { buildReport } from "../../../src/report/report-json.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "reimage-identity-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const runId = "0b7c6a1e-9d43-4c6e-9a57-3f2f4f1f0e11";
const uuid = "4c4c4544-0042-3510-8051-b4c04f4a3032";

describe("who the machine is", () => {
  test("the UUID of the firmware, in any case", () => {
    expect(parseProductUuid(`${uuid.toUpperCase()}\n`)).toBe(uuid);
  });

  test.each([
    ...["00000000-0000-0000-0000-000000000000", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "", "Not Settable"],
    ...["03000200-0400-0500-0006-000700080009", "00000000-0000-0000-0000-000000000001", uuid.slice(1)],
  ])("not %s, which many machines have", (text) => expect(parseProductUuid(text)).toBeNull());

  test("a UUID made of the network cards does not depend on their order, and is one of version 5", () => {
    const macs = ["52:54:00:00:00:02", "52:54:00:00:00:0A"];
    const id = uuidFromMacs(macs);
    expect(uuidFromMacs(macs.map((mac) => mac.toLowerCase()).reverse())).toBe(id);
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(machineIdSchema.parse(id)).toBe(id);
    expect(uuidFromMacs(macs.slice(1))).not.toBe(id);
    expect(id).toBe("c88e9532-1b2d-5122-9cfb-9c5bd12d1a07"); // Python's uuid5 says the same; it must not change from one version to the next
    expect(() => uuidFromMacs([])).toThrow(ReimageError);
  });

  test("as configured, else of the firmware, else of the physical cards", () => {
    const card = (name: string, mac: string, isPhysical: boolean) => {
      mkdirSync(join(directory, "class/net", name, ...(isPhysical ? ["device"] : [])), { recursive: true });
      writeFileSync(join(directory, "class/net", name, "address"), `${mac}\n`);
    };
    card("eth1", "52:54:00:00:00:02", true);
    card("eth0", "52:54:00:00:00:0A", true);
    card("lo", "00:00:00:00:00:00", true);
    card("br0", "52:54:00:00:00:03", false);
    expect(readMacs(directory).sort()).toEqual(["52:54:00:00:00:02", "52:54:00:00:00:0a"]);
    expect(readMachineId(null, directory)).toBe(uuidFromMacs(["52:54:00:00:00:02", "52:54:00:00:00:0a"]));
    mkdirSync(join(directory, "class/dmi/id"), { recursive: true });
    writeFileSync(join(directory, "class/dmi/id/product_uuid"), "03000200-0400-0500-0006-000700080009\n");
    expect(readMachineId(null, directory)).toMatch(/-5[0-9a-f]{3}-/);
    writeFileSync(join(directory, "class/dmi/id/product_uuid"), `${uuid}\n`);
    expect(readMachineId(null, directory)).toBe(uuid);
    expect(readMachineId("AAAAAAAA-0000-4000-8000-000000000001", directory)).toBe(
      "aaaaaaaa-0000-4000-8000-000000000001",
    );
    writeFileSync(join(directory, "class/dmi/id/product_serial"), "To be filled by O.E.M.\n");
    expect(readSerial(directory)).toBeNull();
    writeFileSync(join(directory, "class/dmi/id/product_serial"), "5CG1234\n");
    expect(readSerial(directory)).toBe("5CG1234");
  });
});

describe("the token", () => {
  test("is made once, of 256 bits, for its owner alone", () => {
    const path = join(directory, "etc/control.token");
    const token = makeToken(path);
    expect(Buffer.from(token, "base64url")).toHaveLength(32);
    expect(readFileSync(path, "utf8")).toBe(`${token}\n`);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(makeToken(path)).toBe(token);
    expect(readTokenFile(path)).toBe(token);
    expect(readTokenFile(join(directory, "none"))).toBeNull();
    expect(digestOf("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });

  test.each(["", "\n", "two words", "line\nline", "ä"])("%j is none, and no message shows it", (text) => {
    expect(() => parseToken(text, "/t")).toThrow(
      expect.objectContaining({ message: "/t holds no token: one line without spaces is expected" }),
    );
  });
});

describe("what was touched", () => {
  const events = (...bodies: EventBody[]): Event[] => bodies.map((body, i) => ({ ...body, seq: i + 1, time: "" }));
  const progress = (stage: "save" | "write", what: string, doneBytes: number): EventBody => {
    return { type: "progress", stage, what, doneBytes, totalBytes: 100 };
  };
  test("nothing, a part, all of it", () => {
    expect(touchedOf("untouched", [])).toEqual({ state: "untouched", bytesWritten: 0, firstLba: null });
    expect(touchedOf("partial", [])).toEqual({ state: "partial", bytesWritten: null, firstLba: 0 });
    const written = events(
      progress("save", "decoding", 70),
      progress("write", "writing the image", 40),
      progress("write", "reading it back", 90),
    );
    expect(touchedOf("partial", written)).toEqual({ state: "partial", bytesWritten: 40, firstLba: 0 });
    expect(touchedOf("complete", written)).toEqual({ state: "complete", bytesWritten: 40, firstLba: 0 });
  });
});

describe("the last words of a run", () => {
  const facts = {
    runId,
    image: { id: "os-2", sha256: "ab" },
    readbackSha256: null,
    retained: null,
    disk: null,
    events: [],
  };
  const error = new ReimageError("device-io", "x".repeat(20_000));
  const failed = buildReport({ ...facts, ending: { outcome: "failed", stage: "write", target: "partial", error } });
  const told = { bootInfo: null, events: [], isAbortMeant: true };

  test("after a failure the report and the abort, as the endpoint takes them", () => {
    const [report, abort, ...more] = messagesOf(failed, told).map(({ entry }) => entry);
    expect(more).toEqual([]);
    if (report?.kind !== "report" || abort?.kind !== "abort") throw new Error("something else");
    expect(reportMessageSchema.safeParse(report.message).success).toBe(true);
    expect(abortMessageSchema.parse(abort.message)).toMatchObject({ runId, target: { state: "partial", firstLba: 0 } });
  });

  test("no abort where nothing of the endpoint's is to be taken back, nor after success; nothing without a name", () => {
    expect(messagesOf(failed, { ...told, isAbortMeant: false })).toHaveLength(1);
    expect(messagesOf(buildReport({ ...facts, ending: { outcome: "success" } }), told)).toHaveLength(1);
    expect(messagesOf({ ...failed, runId: null }, told)).toEqual([]);
  });
});

describe("a report that was lost", () => {
  const proof = { image_id: "os-2", run_id: runId, image_sha256: "a".repeat(64), readback_sha256: "b".repeat(64) };
  test("is made again from boot info, as the endpoint takes it", () => {
    const message = rebuildReport(parseBootInfo(JSON.stringify({ ...proof, cmdline: "x".repeat(9000) })));
    const image = { id: "os-2", sha256: "a".repeat(64) };
    expect(reportMessageSchema.parse(message)).toMatchObject({
      runId,
      report: { outcome: "success", image, readback: "b".repeat(64) },
    });
  });

  test.each([
    {},
    { ...proof, run_id: "" },
    { ...proof, image_sha256: "" },
    { ...proof, readback_sha256: "x" },
    { ...proof, run_id: "../../x" },
  ])("not from boot info that proves nothing: %j", (bootInfo) =>
    expect(rebuildReport(parseBootInfo(JSON.stringify(bootInfo)))).toBeNull(),
  );

  test("the run that installed an OS", () => {
    expect(installingRunOf(null)).toBeNull();
    expect(installingRunOf(parseBootInfo("{}"))).toBeNull();
    expect(installingRunOf(parseBootInfo(JSON.stringify(proof)))).toBe(runId);
  });
});

test("the endpoint's clock counts only where it can be right", () => {
  const now = Date.UTC(1970, 0, 1);
  expect(aheadBy("Sat, 21 Nov 2026 14:00:00 GMT", now)).toBe(Date.UTC(2026, 10, 21, 14));
  for (const wrong of [null, "", "yesterday", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 01 Jan 2150 00:00:00 GMT"]) {
    expect(aheadBy(wrong, now)).toBeNull();
  }
});
