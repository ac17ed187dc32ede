/** Two who ask at the same moment for a machine that nobody knows yet. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import type { AuditEntry } from "../../src/control/protocol/audit.ts";
import type { Machine } from "../../src/control/protocol/machine.ts";
import { fingerprintOf } from "../../src/control/server/operations/machine-list.ts";
import { eachDatabase } from "../support/control-server.ts";

setDefaultTimeout(60_000);

const digest = () => createHash("sha256").update(randomBytes(32)).digest("hex");

eachDatabase("enrolment", (open) => {
  test("a machine that waits for approval, and asks again and again, is told of once", async () => {
    await using serve = await open();
    const body = { machineId: randomUUID(), macs: [], tokenSha256: digest() };
    for (let time = 0; time < 5; time += 1) expect((await serve.api("POST", "/enrol", body, null)).status).toBe(202);
    const { entries } = await serve.must<{ entries: AuditEntry[] }>("GET", `/audit?object=machine:${body.machineId}`);
    expect(entries.map(({ action }) => action)).toEqual(["machine.discovered"]);
    const at = `/machines/${body.machineId}`;
    const { fingerprint } = await serve.must<Machine>("GET", at);
    const another = fingerprintOf(digest());
    expect((await serve.api("POST", `${at}/approve`, { fingerprint: another })).status).toBe(409);
    await serve.must("POST", `${at}/approve`, { fingerprint });
    expect(await serve.must<Machine>("GET", at)).toMatchObject({ state: "approved", fingerprint: null });
  });

  test("a stranger changes nothing of a machine that is enrolled with a code at the same moment", async () => {
    await using serve = await open();
    for (let round = 0; round < 25; round += 1) {
      const { code } = await serve.must<{ code: string }>("POST", "/enrolment-codes", {});
      const machineId = randomUUID();
      const own = { machineId, macs: [], serial: "true", tokenSha256: digest(), code };
      const strangers = Array.from({ length: 3 }, () => ({
        machineId,
        macs: [],
        serial: "false",
        tokenSha256: digest(),
      }));
      const answers = await Promise.all([own, ...strangers].map((body) => serve.api("POST", "/enrol", body, null)));
      expect(answers.map(({ status }) => status)).toEqual([200, 202, 202, 202]);
      const machine = await serve.must<Machine>("GET", `/machines/${machineId}`);
      expect(machine).toMatchObject({ state: "approved", serial: "true" });
    }
  });
});
