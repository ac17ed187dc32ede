/** A hosts file in the database: all of it or nothing, again without a change, at any size, by several at once. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { type HostsFile, parseHostsFile } from "../../src/control/server/hosts-file.ts";
import { applyHosts } from "../../src/control/server/operations/hosts.ts";
import { eachDatabase, type TestServe } from "../support/control-server.ts";

setDefaultTimeout(120_000); // a PostgreSQL is started by the first test that needs it

const id = (n: number) => `4c4c4544-0000-0000-0000-${String(n).padStart(12, "0")}`;
const mac = (n: number) =>
  `52:54:00:${n
    .toString(16)
    .padStart(6, "0")
    .replace(/(..)(?=.)/g, "$1:")}`;
const parse = (text: string): HostsFile => parseHostsFile(text, "hosts.yaml", () => ({ secret: "s3cret" }));

const library = `
images:
  - { id: os-2, url: "http://x/os.zst" }
bootConfigurations:
  - { name: rescue, kind: linux, kernel: k, initrd: [i] }
`;
const two = `${library}machines:
  - { id: ${id(1)}, name: kiosk-1, macs: ["${mac(1)}", "${mac(2)}"], serial: S1, image: os-1, locked: true }
  - id: ${id(2)}
    name: kiosk-2
    macs: ["${mac(3)}"]
    power: { adapter: ipmitool, variables: { address: a, user: u }, passwordFile: bmc }
`;

async function fleetOf(serve: TestServe) {
  const { machines } = await serve.must<{ machines: { id: string; name: string; macs: string[] }[] }>(
    "GET",
    "/machines?limit=10000",
  );
  return machines;
}
const auditOf = async (serve: TestServe) => {
  const { entries } = await serve.must<{ entries: { action: string; object: string; actor: string }[] }>(
    "GET",
    "/audit?limit=1000",
  );
  return entries;
};

eachDatabase("a hosts file", (open) => {
  test("is loaded; loaded again it changes nothing, not even the audit", async () => {
    await using serve = await open();
    const { store } = serve.serve.endpoint;
    expect((await applyHosts(store, parse(two))).machines).toHaveLength(2);
    const fleet = await fleetOf(serve);
    expect(fleet).toMatchObject([
      {
        id: id(1),
        name: "kiosk-1",
        macs: [mac(1), mac(2)],
        serial: "S1",
        imageId: "os-1",
        locked: true,
        state: "declared",
      },
      { id: id(2), name: "kiosk-2", macs: [mac(3)], locked: false },
    ]);
    expect(await serve.must("GET", `/machines/${id(2)}`)).toMatchObject({ power: { adapter: "ipmitool" } });
    expect(await serve.must("GET", "/boot-configurations/rescue")).toMatchObject({ kernel: "k", cmdline: "" });
    const audit = await auditOf(serve);
    expect(audit.map(({ action }) => action)).toContain("machine.declared");
    expect(JSON.stringify(audit)).not.toContain("s3cret");

    const again = await applyHosts(store, parse(two));
    expect(again).toMatchObject({ machines: [], images: [], bootConfigurations: [] });
    expect(await auditOf(serve)).toEqual(audit);
    expect(await fleetOf(serve)).toEqual(fleet);
  });

  test("changes what it says, leaves alone what it does not say, and tells what it leaves out", async () => {
    await using serve = await open();
    const { store } = serve.serve.endpoint;
    const machine = await serve.enrol();
    await applyHosts(store, parse(two));
    // Names and cards change places; the serial number and the lock are not spoken of.
    const plan = await applyHosts(
      store,
      parse(`images: []
machines:
  - { id: ${id(1)}, name: kiosk-2, macs: ["${mac(3)}"] }
  - { id: ${id(2)}, name: kiosk-1, macs: ["${mac(2)}", "${mac(1)}"] }
  - { id: ${machine.id}, name: kiosk-9, image: os-0 }
`),
    );
    expect(plan.machines.map(({ changes, isNew }) => [isNew, ...changes])).toEqual([
      [false, "name", "macs"],
      [false, "name", "macs"],
      [false, "name", "image_id"],
    ]);
    expect(plan.left).toEqual({ images: ["os-2"], bootConfigurations: [], machines: [] });
    const fleet = new Map((await fleetOf(serve)).map((each) => [each.id, each]));
    expect(fleet.get(id(1))).toMatchObject({ name: "kiosk-2", macs: [mac(3)], serial: "S1", locked: true });
    expect(fleet.get(id(2))).toMatchObject({ name: "kiosk-1", macs: [mac(2), mac(1)] });
    expect(fleet.get(machine.id)).toMatchObject({
      name: "kiosk-9",
      macs: [machine.mac],
      state: "approved",
      imageId: "os-0",
    });
    expect((await applyHosts(store, parse("machines: []\n"))).left.machines).toHaveLength(3);
    expect(await fleetOf(serve)).toHaveLength(3);
  });

  test("what a machine has proved counts more than what the file says it runs", async () => {
    await using serve = await open();
    const { store } = serve.serve.endpoint;
    await serve.must("POST", "/machines", { id: id(1), imageId: "os-7" });
    await applyHosts(store, parse(two));
    expect(await serve.must("GET", `/machines/${id(1)}`)).toMatchObject({ imageId: "os-7" });
  });

  test("a conflict with what is known is refused as a whole, and names every one", async () => {
    await using serve = await open();
    const { store } = serve.serve.endpoint;
    await serve.must("POST", "/machines", { id: id(8), name: "kiosk-1" });
    await serve.must("POST", "/machines", { id: id(9), macs: [mac(3)] });
    const audit = await auditOf(serve);
    const loading = applyHosts(store, parse(two));
    await expect(loading).rejects.toThrow(`machines[0] (kiosk-1): machine ${id(8)} is called kiosk-1 already`);
    await expect(loading).rejects.toThrow(`machines[1] (kiosk-2): ${mac(3)} is a card of machine ${id(9)} already`);
    expect(await fleetOf(serve)).toHaveLength(2);
    expect(await serve.must("GET", "/images")).toEqual({ images: [] });
    expect(await auditOf(serve)).toEqual(audit);
  });

  test("5,000 machines", async () => {
    await using serve = await open();
    const { store } = serve.serve.endpoint;
    const entries = Array.from({ length: 5000 }, (_, n) => {
      const power = "power: { adapter: ipmitool, variables: { address: a, user: u }, passwordFile: bmc }";
      return `  - { id: ${id(n)}, name: kiosk-${n}, macs: ["${mac(2 * n)}", "${mac(2 * n + 1)}"], ${power} }\n`;
    });
    const text = `machines:\n${entries.join("")}`;
    expect((await applyHosts(store, parse(text))).machines).toHaveLength(5000);
    expect((await applyHosts(store, parse(text))).machines).toHaveLength(0);
    const fleet = await fleetOf(serve);
    expect(fleet).toHaveLength(5000);
    expect(fleet[4999]).toMatchObject({ name: "kiosk-4999", macs: [mac(9998), mac(9999)] });
  });

  test("loaded by two processes at the same time", async () => {
    await using serve = await open();
    // A second process on the same database; SQLite has one only.
    await using other =
      serve.databaseUrl === null ? null : await open({ databaseUrl: serve.databaseUrl, dataDir: serve.dataDir });
    const stores = [serve.serve.endpoint.store, (other ?? serve).serve.endpoint.store];
    const plans = await Promise.all([...stores, ...stores].map((store) => applyHosts(store, parse(two))));
    expect(plans.map(({ machines }) => machines.length).sort()).toEqual([0, 0, 0, 2]);
  });
});
