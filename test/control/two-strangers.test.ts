/** Two who ask at the same moment for a machine that nobody knows yet. */
import { expect, test } from "bun:test";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import type { Machine } from "../../src/control/protocol/machine.ts";
import { eachDatabase } from "../support/control-server.ts";

const digest = () => createHash("sha256").update(randomBytes(32)).digest("hex");

eachDatabase("enrolment", (open) => {
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
