/** Reinstallations as metal-hammer and metal-api's users go through them, on both databases. */
import { expect, test } from "bun:test";
import { eachDatabase, event, goodReport } from "../support/control-server.ts";
import { addMachine, installed, openMetal, success, type TestMetal } from "../support/metal.ts";

/** A machine that was asked to be reinstalled with os-2, booted and registered. */
async function begin(metal: TestMetal) {
  const machine = await addMachine(metal);
  expect((await machine.reinstall()).status).toBe(200);
  await metal.call("GET", `/v1/dhcp/${machine.id}`);
  expect(await machine.boot()).toBe("reimage");
  for (const event of ["Preparing", "Registering"]) expect((await machine.event(event)).status).toBe(200);
  expect(await machine.register()).toMatchObject({ status: 200, body: { allocation: { reinstall: true } } });
  return machine;
}

eachDatabase("metal", (open) => {
  test("the happy path: requested, booted, registered, wiped, reported; only then the mark falls", async () => {
    await using metal = await openMetal(open);
    const machine = await begin(metal);
    expect(await machine.state()).toMatchObject({ reinstall: { state: "running", attempt: 1 }, imageId: "os-1" });
    expect((await machine.event("Installing")).status).toBe(200);
    expect(await machine.state()).toMatchObject({ reinstall: { state: "writing" }, run: { target: "partial" } });
    expect(await machine.report()).toEqual({ status: 200, body: "" });
    const { console_password: _secret, ...bootInfo } = installed;
    expect(await machine.state()).toMatchObject({
      reinstall: null,
      imageId: "os-2",
      configuration: "local",
      bootInfo: { image_id: "os-2", ...bootInfo },
    });
    await machine.event("Booting New Kernel");
    await machine.event("Phoned Home");
    const { body } = await metal.call("GET", `/v1/machine/${machine.id}`);
    expect(body).toMatchObject({
      liveliness: "Alive",
      events: { crash_loop: false, last_error_event: null },
      allocation: { reinstall: false, succeeded: true, image: { id: "os-2" }, boot_info: { image_id: "os-2" } },
    });
  });

  test("after success, a machine whose firmware still boots from the network gets its disk, for ever", async () => {
    await using metal = await openMetal(open);
    const machine = await begin(metal);
    await machine.report();
    for (let boots = 0; boots < 4; boots += 1) expect(await machine.boot()).toBe("local");
    const refused = await machine.register(); // and where it comes here all the same, nothing of it is wiped
    expect(refused).toMatchObject({ status: 500, body: { statuscode: 500 } });
    expect(JSON.stringify(refused.body)).toContain("must not be written");
  });

  test("a report whose answer was lost is sent again: the same answer, and nothing is reimaged", async () => {
    await using metal = await openMetal(open);
    const machine = await begin(metal);
    await machine.event("Installing");
    for (let times = 0; times < 3; times += 1) {
      expect((await machine.report()).status).toBe(200);
      expect(await machine.boot()).toBe("local");
    }
    const finalize = `/v1/machine/${machine.id}/finalize-allocation`;
    expect((await metal.call("POST", finalize, success)).status).toBe(200);
    expect(await machine.state()).toMatchObject({ reinstall: null, imageId: "os-2" });
    const { reinstalls } = await metal.serve.must<{ reinstalls: unknown[] }>(
      "GET",
      `/machines/${machine.id}/reinstalls`,
    );
    expect(reinstalls).toMatchObject([{ state: "succeeded", attempt: 1 }]);
  });

  test.each(["Booting New Kernel", "Phoned Home"])(
    "a report that was lost altogether: the new OS was heard of (%s), so the disk is left alone; a late report ends it",
    async (sign) => {
      await using metal = await openMetal(open);
      const machine = await begin(metal);
      await machine.event("Installing");
      await machine.event(sign);
      expect(await machine.state()).toMatchObject({ reinstall: { state: "unreported" }, configuration: "local" });
      for (let boots = 0; boots < 4; boots += 1) expect(await machine.boot()).toBe("local");
      expect((await machine.register()).status).toBe(500); // told to write nothing
      expect(await machine.abort(true)).toEqual({ status: 200, body: null }); // as metal-hammer does when its report fails
      expect(await machine.boot()).toBe("local");
      expect((await machine.report()).status).toBe(200);
      expect(await machine.state()).toMatchObject({ reinstall: null, imageId: "os-2", configuration: "local" });
    },
  );

  test("an abort before the disk was touched takes everything back, and is answered the same again", async () => {
    await using metal = await openMetal(open);
    const machine = await begin(metal);
    await machine.report({ ...success, success: false, message: "no memory" });
    const first = await machine.abort(false);
    expect(first).toMatchObject({ status: 200, body: { image_id: "os-1" } });
    expect(await machine.state()).toMatchObject({ reinstall: null, imageId: "os-1", configuration: "local" });
    expect(await machine.abort(false)).toEqual(first);
    expect(await machine.abort(true)).toEqual(first);
    expect((await machine.report()).status).toBe(200); // too late: nothing is changed
    expect(await machine.state()).toMatchObject({ reinstall: null, imageId: "os-1", configuration: "local" });
    expect(await machine.boot()).toBe("local");
  });

  test("the boot info of the OS before is what an abort gives back, whole", async () => {
    await using metal = await openMetal(open);
    const machine = await begin(metal);
    await machine.report();
    await metal.call("POST", `/v1/machine/${machine.id}/reinstall`, { id: machine.id, imageid: "os-1" });
    const { console_password: _secret, ...bootInfo } = installed;
    const { body } = await metal.call("POST", `/v1/machine/${machine.id}/abort-reinstall`, { primaryDiskWiped: false });
    expect(body).toEqual({ image_id: "os-2", ...bootInfo });
    expect(await machine.state()).toMatchObject({ reinstall: null, imageId: "os-2", bootInfo });
  });

  test("an abort after the wipe keeps the mark and counts; after the last attempt it is parked, and nothing loops", async () => {
    await using metal = await openMetal(open);
    const machine = await begin(metal);
    for (const attempt of [1, 2, 3]) {
      if (attempt > 1) {
        expect(await machine.boot()).toBe("reimage");
        expect((await machine.register()).status).toBe(200);
      }
      for (let times = 0; times < 2; times += 1) {
        expect(await machine.abort(true)).toEqual({ status: 200, body: null });
      }
      const state = attempt === 3 ? "parked" : "waiting";
      expect(await machine.state()).toMatchObject({ reinstall: { state, attempt }, imageId: "os-1" });
    }
    for (let boots = 0; boots < 4; boots += 1) expect(await machine.boot()).toBe("local");
    expect((await machine.register()).status).toBe(500);
    const { body } = await metal.call("GET", `/v1/machine/${machine.id}`);
    expect(body).toMatchObject({ allocation: { reinstall: true } }); // the mark is still there
  });

  test("attempts are counted of a machine that only boots and aborts", async () => {
    await using metal = await openMetal(open);
    const machine = await addMachine(metal);
    await machine.reinstall();
    for (const attempt of [1, 2, 3]) {
      expect(await machine.boot()).toBe("reimage");
      for (let times = 0; times < 2; times += 1) expect((await machine.abort(true)).body).toBeNull();
      expect(await machine.state()).toMatchObject({ reinstall: { attempt } });
    }
    expect(await machine.state()).toMatchObject({ reinstall: { state: "parked" } });
  });

  test("a machine that crashes after every boot, without a word, is parked", async () => {
    await using metal = await openMetal(open);
    const machine = await addMachine(metal);
    await machine.reinstall();
    const answers = [];
    for (let times = 0; times < 8; times += 1) {
      const boot = await machine.boot();
      answers.push(boot === "local" ? boot : (await machine.register()).status);
    }
    // The fourth boot is there to be told that there is no fourth attempt.
    expect(answers).toEqual([200, 200, 200, 500, "local", "local", "local", "local"]);
    expect(await machine.state()).toMatchObject({ reinstall: { state: "parked", attempt: 3 } });
  });

  test.each(["PXE Booting", "Preparing", "nothing"])(
    "attempts are counted of a machine that something else boots (it says: %s)",
    async (sign) => {
      await using metal = await openMetal(open);
      const machine = await addMachine(metal);
      await machine.reinstall();
      for (const attempt of [1, 2, 3]) {
        if (sign !== "nothing") await machine.event(sign);
        for (let times = 0; times < 2; times += 1) expect((await machine.register()).status).toBe(200);
        expect(await machine.state()).toMatchObject({ reinstall: { state: "running", attempt } });
        await machine.abort(true);
      }
      expect(await machine.state()).toMatchObject({ reinstall: { state: "parked" } });
    },
  );

  test("a machine that crashes, and asks for an address again, has another attempt", async () => {
    await using metal = await openMetal(open);
    const machine = await begin(metal);
    for (const attempt of [2, 3]) {
      await metal.call("GET", `/v1/dhcp/${machine.id}`);
      await machine.register();
      expect(await machine.state()).toMatchObject({ reinstall: { state: "running", attempt } });
    }
  });

  test("registering twice is one attempt; registering after another boot is the next", async () => {
    await using metal = await openMetal(open);
    const machine = await begin(metal);
    await machine.register();
    expect(await machine.state()).toMatchObject({ reinstall: { attempt: 1 } });
    await machine.boot();
    await machine.register();
    expect(await machine.state()).toMatchObject({ reinstall: { attempt: 2 } });
  });

  test("the next attempt is not put off: this protocol has no word for waiting", async () => {
    await using metal = await openMetal(open);
    const machine = await begin(metal);
    await machine.abort(true);
    await machine.boot();
    await machine.register();
    await machine.abort(true);
    metal.later(-30); // sooner than a client of the own protocol may try again
    await machine.boot();
    expect((await machine.register()).status).toBe(200);
    expect(await machine.state()).toMatchObject({ reinstall: { state: "running", attempt: 3 } });
  });

  test("a failure that is reported is on record, and the abort decides", async () => {
    await using metal = await openMetal(open);
    const machine = await begin(metal);
    await machine.report({ success: false, message: "no such disk" });
    const { runs } = await metal.serve.must<{ runs: unknown[] }>("GET", `/runs?machine=${machine.id}`);
    expect(runs).toMatchObject([{ outcome: "failed", verdict: "recorded", reason: "no such disk", attempt: 1 }]);
    expect(await machine.state()).toMatchObject({ reinstall: { state: "running" } });
    await machine.abort(true);
    expect(await machine.state()).toMatchObject({ reinstall: { state: "waiting" } });
  });

  test("the old OS that phones home, however late, is not taken for the new one", async () => {
    await using metal = await openMetal(open);
    const machine = await begin(metal);
    metal.later(600);
    await machine.event("Phoned Home");
    expect(await machine.state()).toMatchObject({ reinstall: { state: "running" }, configuration: "reimage" });
    expect(await machine.boot()).toBe("reimage");
  });

  test("Installing that is said twice, or after the next boot, is of the attempt under way", async () => {
    await using metal = await openMetal(open);
    const machine = await begin(metal);
    for (let times = 0; times < 2; times += 1) await machine.event("Installing");
    expect(await machine.state()).toMatchObject({ reinstall: { state: "writing", attempt: 1 } });
    await machine.boot();
    await machine.event("Installing"); // without a registration
    expect(await machine.state()).toMatchObject({ reinstall: { state: "writing", attempt: 2 } });
  });

  test("Installing of a machine that was not booted for it says nothing of its reinstallation", async () => {
    await using metal = await openMetal(open);
    const machine = await addMachine(metal);
    await machine.reinstall();
    await machine.event("Installing");
    expect(await machine.state()).toMatchObject({ reinstall: { state: "requested" } });
  });

  test("what another facade knows of a machine is left alone", async () => {
    await using metal = await openMetal(open);
    const machine = await addMachine(metal);
    const { db } = metal.serve.serve.endpoint.store;
    const read = () =>
      db.selectFrom("machines").select("facade").where("id", "=", machine.id).executeTakeFirstOrThrow();
    await db.updateTable("machines").set({ facade: '{"luna":{"status":"x"}}' }).where("id", "=", machine.id).execute();
    await machine.reinstall();
    await machine.event("Preparing");
    expect(JSON.parse((await read()).facade ?? "")).toMatchObject({ luna: { status: "x" }, metal: {} });
  });

  test("what was touched stays touched: an abort that denies it gives no old OS back", async () => {
    await using metal = await openMetal(open);
    const machine = await begin(metal);
    await machine.event("Installing");
    expect(await machine.abort(false)).toEqual({ status: 200, body: null });
    expect(await machine.state()).toMatchObject({ reinstall: { state: "waiting" } });
  });

  test("a machine of which nothing is known is not written: its reinstallation ends as it registers", async () => {
    await using metal = await openMetal(open);
    const machine = await addMachine(metal, { imageId: null });
    await machine.reinstall();
    await machine.boot();
    const { status, body } = await machine.register();
    expect([status, JSON.stringify(body)]).toEqual([500, expect.stringContaining("too risky")]);
    expect(await machine.state()).toMatchObject({ reinstall: null, configuration: "local" });
    expect(await machine.boot()).toBe("local");
  });

  test("an allocated machine without the mark gets no reimager, and is not registered", async () => {
    await using metal = await openMetal(open);
    const machine = await addMachine(metal);
    expect(await machine.boot()).toBe("local");
    expect((await machine.register()).status).toBe(500);
    expect((await metal.call("GET", `/machine/install/${machine.id}`)).status).toBe(304);
  });

  test("a late report of the reinstallation before does not end the one that was requested since", async () => {
    await using metal = await openMetal(open);
    const machine = await begin(metal);
    await machine.report();
    await machine.reinstall();
    expect((await machine.report()).status).toBe(500);
    const finalize = await metal.call("POST", `/v1/machine/${machine.id}/finalize-allocation`, success);
    expect(finalize).toMatchObject({ status: 409, body: { statuscode: 409 } });
    expect(await machine.state()).toMatchObject({ reinstall: { state: "requested" }, configuration: "reimage" });
  });

  test("the word of a facade never ends the run of a client that reads its disk back", async () => {
    await using metal = await openMetal(open);
    const { serve } = metal;
    const machine = await serve.enrol();
    const runId = crypto.randomUUID();
    const ask = { runId, bootInfo: { image_id: "os-1" }, isDiskNamed: true };
    await serve.must("POST", `/machines/${machine.id}/reinstalls`, { imageId: "os-2" });
    expect((await machine.post("instructions", ask)).body).toMatchObject({ action: "reinstall" });
    expect((await metal.call("POST", `/machine/report/${machine.id}`, success)).status).toBe(500);
    const { status } = await metal.call("POST", `/v1/machine/${machine.id}/finalize-allocation`, success);
    expect(status).toBe(409);
    expect(await serve.must("GET", `/machines/${machine.id}`)).toMatchObject({ reinstall: { state: "running" } });
    await machine.post("events", { runId, events: [event(1, { type: "target-state", state: "partial" })] });
    metal.later(60);
    await metal.call("GET", `/v1/boot/${machine.mac}`); // not even after another boot, while that run is on the disk
    expect((await metal.call("POST", `/machine/report/${machine.id}`, success)).status).toBe(500);
    expect(await serve.must("GET", `/machines/${machine.id}`)).toMatchObject({ reinstall: { state: "writing" } });
    const unread = goodReport("os-2", { readback: null }); // as little as a facade's word holds
    expect((await machine.post("report", { runId, report: unread })).status).toBe(422);
  });

  test("a machine that nobody knows gets an empty answer, and leaves nothing behind", async () => {
    await using metal = await openMetal(open);
    const count = async () => {
      const { db } = metal.serve.serve.endpoint.store;
      const [machines, audit] = await Promise.all([
        db.selectFrom("machines").selectAll().execute(),
        db.selectFrom("audit").selectAll().execute(),
      ]);
      return [machines.length, audit.length];
    };
    const before = await count();
    expect(await metal.call("GET", "/v1/boot/52:54:00:00:00:01")).toEqual({ status: 200, body: "" });
    expect(await metal.call("GET", "/v1/boot/..%2f..%2fetc")).toEqual({ status: 200, body: "" });
    expect(await metal.call("GET", `/v1/dhcp/${crypto.randomUUID()}`)).toEqual({ status: 200, body: {} });
    expect(await count()).toEqual(before);
  });

  test("a poll for the installation ends as soon as the machine is marked", async () => {
    await using metal = await openMetal(open, 20);
    const machine = await addMachine(metal);
    const polls = [`/machine/install/${machine.id}`, `/v1/machine/${machine.id}/wait`].map((path) =>
      metal.call("GET", path),
    );
    await Bun.sleep(100);
    await machine.reinstall();
    for (const { status, body } of await Promise.all(polls)) {
      expect(status).toBe(200);
      expect(body).toMatchObject({ allocation: { reinstall: true, image: { id: "os-2" } } });
    }
    expect(await machine.state()).toMatchObject({ reinstall: { state: "running", attempt: 1 } });
  });

  test("a poll ends with the endpoint, at once", async () => {
    const metal = await openMetal(open, 3600);
    const machine = await addMachine(metal);
    const poll = metal.call("GET", `/machine/install/${machine.id}`);
    await Bun.sleep(100);
    await metal.serve[Symbol.asyncDispose]();
    expect((await poll).status).toBe(304);
  });

  test("of all that a machine and its operator say at once, nothing is lost and one thing happens", async () => {
    await using metal = await openMetal(open);
    const machine = await begin(metal);
    const words = await Promise.all([
      ...Array.from({ length: 5 }, () => machine.report()),
      ...Array.from({ length: 5 }, () => machine.event("Alive")),
    ]);
    expect(words.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 200));
    expect(await machine.state()).toMatchObject({ reinstall: null, imageId: "os-2" });
    const twice = await Promise.all([machine.reinstall(), machine.reinstall()]);
    expect(twice.map(({ status }) => status).sort()).toEqual([200, 409]);
  });

  test("hostile bodies and names on every route are answered, and nothing is marked or believed by them", async () => {
    await using metal = await openMetal(open, 0.001);
    const { id } = await addMachine(metal);
    const strange = [
      "",
      "\u0000",
      "\ud800",
      "x".repeat(9000),
      "../..",
      "Alive",
      0,
      -1,
      1e308,
      true,
      null,
      [],
      [[]],
      {},
    ];
    const names = [
      "event",
      "message",
      "time",
      "uuid",
      "nics",
      "hardware",
      "ipmi",
      "tags",
      "imageid",
      "value",
      "leases",
    ];
    const bodies = [
      ...strange,
      ...names.flatMap((name) => strange.map((value) => ({ event: "Alive", uuid: id, [name]: value }))),
      { __proto__: { success: true }, constructor: 1 },
      `{"a":${"[".repeat(5000)}`,
      `{"__proto__": {"success": true}, "toString": 1}`,
    ];
    const paths = [
      ...["reinstall", "abort-reinstall", "finalize-allocation", "event", "state", "power/on"].map(
        (what) => `/v1/machine/${id}/${what}`,
      ),
      ...["register", "find", "ipmi"].map((what) => `/v1/machine/${what}`),
      ...["register", "report", "abort-reinstall"].map((what) => `/machine/${what}/${id}`),
      `/machine/${id}/event`,
    ];
    for (const path of paths) {
      const answers = await Promise.all(bodies.map((body) => metal.call("POST", path, body)));
      for (const { status, body } of answers) {
        expect(`${path} ${status} ${JSON.stringify(body)}`).not.toContain("something went wrong");
      }
    }
    for (const name of ["%ff", "..%2f..", "x".repeat(4000), "%27%3b--", "%E2%80%AE"]) {
      for (const path of [`/v1/boot/${name}`, `/machine/${name}`, `/v1/machine/${name}`, `/v1/machine/${name}/event`]) {
        const { status, body } = await metal.call("GET", path);
        expect(`${path} ${status} ${JSON.stringify(body)}`).not.toContain("something went wrong");
      }
    }
    expect(metal.serve.log.join("\n")).toBe(metal.serve.log[0] ?? "");
    const machines = await metal.call("GET", "/v1/machine");
    expect(machines.body).toMatchObject([{ id, allocation: { reinstall: false, image: { id: "os-1" } } }]);
  }, 60_000);

  test("no password is kept or told, whoever sent it", async () => {
    await using metal = await openMetal(open);
    const machine = await begin(metal);
    const ipmi = { address: "10.0.0.7", user: "metal", password: "secret-of-the-bmc", interface: "lanplus", mac: "" };
    await metal.call("POST", "/v1/machine/register", { uuid: machine.id, ipmi });
    await machine.report();
    const { body } = await metal.call("GET", `/v1/machine/${machine.id}/ipmi`);
    expect(body).toMatchObject({ ipmi: { address: "10.0.0.7", user: "metal", password: "" } });
    const { db } = metal.serve.serve.endpoint.store;
    const kept = await Promise.all(
      (["machines", "runs", "audit", "provisioning_events"] as const).map((table) =>
        db.selectFrom(table).selectAll().execute(),
      ),
    );
    expect(JSON.stringify(kept)).not.toContain("secret-of");
    expect(metal.serve.log.join("\n")).not.toContain("secret-of");
  });
});
