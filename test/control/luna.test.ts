/** Luna's boot protocol as its nodes speak it, on both databases. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Machine } from "../../src/control/protocol/machine.ts";
import { parseAddressRange } from "../../src/control/server/security/address-range.ts";
import { eachDatabase, type OpenServe, type TestServe } from "../support/control-server.ts";
import { runTestCommand, temporaryDirectory } from "../support/loop-device.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

interface Recorded {
  readonly case: string;
  /** The query. */
  readonly request: string;
  readonly status: number;
  readonly body?: string;
  readonly holds?: string[];
  /** The status of node001 afterwards. */
  readonly becomes?: string;
}
const table: Recorded[] = JSON.parse(readFileSync(join(import.meta.dir, "../fixtures/control/luna.json"), "utf8"));

const facades = { names: ["luna" as const], clients: [parseAddressRange("127.0.0.1")] };
const node1 = { id: "00000000-0000-0000-0000-0000000000c1", name: "node001", macs: ["52:54:00:aa:00:01"] };
const node2 = { id: "00000000-0000-0000-0000-0000000000c2", name: "node002", macs: ["52:54:00:aa:00:02"] };
const image = {
  name: "compute",
  kind: "linux",
  kernel: "http://10.0.9.1/vmlinuz",
  initrd: ["http://10.0.9.1/initrd"],
  cmdline: "quiet",
};

async function openWithNodes(open: OpenServe): Promise<TestServe> {
  const serve = await open({ facades });
  for (const node of [node1, node2]) await serve.must("POST", "/machines", node);
  await serve.must("PUT", "/boot-configurations/compute", image);
  await serve.must("POST", "/boot-configurations/compute/deploy", { machines: ["node001"] });
  return serve;
}

const get = async (serve: TestServe, query: string) => {
  const response = await fetch(`${serve.url}/luna${query === "" ? "" : "?"}${query}`);
  return { status: response.status, text: await response.text() };
};
const look = (serve: TestServe, { id }: { id: string }) => serve.must<Machine>("GET", `/machines/${id}`);

async function lunaFacts(serve: TestServe, { id }: { id: string }) {
  const { db } = serve.serve.endpoint.store;
  const row = await db.selectFrom("machines").select("facade").where("id", "=", id).executeTakeFirstOrThrow();
  return JSON.parse(row.facade ?? "{}").luna ?? {};
}

eachDatabase("luna", (open) => {
  test("the recorded table", async () => {
    await using serve = await openWithNodes(open);
    for (const recorded of table) {
      if (recorded.becomes !== undefined) await get(serve, "step=install&node=node001&status=boot.request");
      const { status, text } = await get(serve, recorded.request);
      expect({ case: recorded.case, status }).toEqual({ case: recorded.case, status: recorded.status });
      if (recorded.body !== undefined) expect(text).toBe(recorded.body);
      for (const part of recorded.holds ?? []) expect(text).toContain(part.replace("URL", serve.url));
      if (recorded.becomes !== undefined) expect((await lunaFacts(serve, node1)).status.step).toBe(recorded.becomes);
    }
    // Nothing that was said has made another machine out of one.
    expect((await look(serve, node1)).macs).toEqual(node1.macs);
    expect((await look(serve, node2)).macs).toEqual(node2.macs);
  });

  test("a card that says it is a node's waits for an operator, and is told of once", async () => {
    await using serve = await openWithNodes(open);
    const claim = "step=discovery&node=node002&hwdata=|52:54:00:aa:00:77|";
    for (let asked = 0; asked < 3; asked += 1) expect((await get(serve, claim)).status).toBe(404);
    const { entries } = await serve.must<{ entries: { action: string }[] }>("GET", "/audit?limit=100");
    expect(entries.filter(({ action }) => action === "luna.claimed")).toMatchObject([
      {
        actor: "facade:luna",
        address: "127.0.0.1",
        object: `machine:${node2.id}`,
        detail: { mac: "52:54:00:aa:00:77" },
      },
    ]);
    await serve.must("PATCH", `/machines/${node2.id}`, { macs: [...node2.macs, "52:54:00:aa:00:77"] });
    expect((await get(serve, claim)).status).toBe(200);
  });

  test("install.success ends the installation: the next boots lead to the disk; the mark of a reinstallation stays", async () => {
    await using serve = await openWithNodes(open);
    await serve.must("PUT", "/images/os-2", { id: "os-2" });
    await serve.must("PUT", "/boot-configurations/reimage", { ...image, name: "reimage" });
    await serve.must("POST", `/machines/${node1.id}/reinstalls`, { imageId: "os-2" });
    const asking = (await get(serve, "step=discovery&hwdata=|52:54:00:aa:00:01|")).text;
    expect(asking).toContain("luna.service=0 reimage.control.decides=true || goto failed");
    expect((await get(serve, "step=install&node=node001&status=install.success")).status).toBe(200);
    expect(await look(serve, node1)).toMatchObject({ configuration: "local", reinstall: { state: "requested" } });
    expect((await get(serve, "step=discovery&hwdata=|52:54:00:aa:00:01|")).text).toContain("sanboot");
    const { entries } = await serve.must<{ entries: { action: string; object: string }[] }>("GET", "/audit?limit=100");
    expect(entries).toContainEqual(
      expect.objectContaining({ action: "luna.install.success", object: `machine:${node1.id}` }),
    );
  });

  test("a strange Host header does not get into a script", async () => {
    await using serve = await openWithNodes(open);
    const url = `${serve.url}/luna?step=discovery&hwdata=|52:54:00:aa:00:01|`;
    const answer = await runTestCommand(["curl", "-s", "-i", "-H", "Host: a;b$(id)", url]);
    expect(answer).toMatch(/^HTTP\/1\.1 400/);
    expect(answer).not.toContain("luna.url");
  });
});

eachDatabase("luna's install script", (open) => {
  /** Runs the script that is served, with a reimager that ends as it is told; returns its status and the node's words. */
  async function install(serve: TestServe, reimagerEnds: number | null) {
    await using directory = await temporaryDirectory();
    const script = await get(serve, "step=install&node=node001");
    expect(script.status).toBe(200);
    await writeFile(join(directory.dir, "install.sh"), script.text);
    if (reimagerEnds !== null) {
      const reimage = join(directory.dir, "reimage");
      await writeFile(reimage, `#!/bin/sh\necho "$@" >'${directory.dir}/called'\nexit ${reimagerEnds}\n`);
      await chmod(reimage, 0o755);
    }
    const shell = Bun.spawn(["/bin/sh", join(directory.dir, "install.sh")], {
      env: { PATH: `${directory.dir}:/usr/bin:/bin` },
      stdout: "ignore",
      stderr: "ignore",
    });
    const status = await shell.exited;
    const called = await Bun.file(join(directory.dir, "called"))
      .text()
      .catch(() => null);
    const { history } = await lunaFacts(serve, node1);
    return { status, called, words: history.map(({ step }: { step: string }) => step) };
  }

  async function openMarked(): Promise<TestServe> {
    const serve = await openWithNodes(open);
    await serve.must("PUT", "/images/os-2", { id: "os-2" });
    await serve.must("POST", `/machines/${node1.id}/reinstalls`, { imageId: "os-2" });
    return serve;
  }

  test("the reimager runs, asks before it writes, and the server hears of every step", async () => {
    await using serve = await openMarked();
    expect(await install(serve, 0)).toEqual({
      status: 0,
      called: "run --yes --set control.decides=true\n",
      words: ["install.request", "install.prescript", "install.unpack", "install.success"],
    });
    expect(await look(serve, node1)).toMatchObject({ configuration: "local" });
  });

  test("a reimager that fails fails the script, and nothing says success", async () => {
    await using serve = await openMarked();
    expect(await install(serve, 4)).toMatchObject({
      status: 4,
      words: ["install.request", "install.prescript", "install.unpack", "install.failed.unpack.4"],
    });
    expect(await look(serve, node1)).toMatchObject({ configuration: "reimage" });
  });

  test("an initramfs without the reimager fails before anything is done", async () => {
    await using serve = await openMarked();
    const { status, words } = await install(serve, null);
    expect(status).not.toBe(0);
    expect(words).toEqual(["install.request", "install.prescript", "install.failed.prescript.127"]);
  });
});
