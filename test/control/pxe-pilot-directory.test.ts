/** A pxelinux.cfg directory as the projection of the deployments, on both databases. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Machine } from "../../src/control/protocol/machine.ts";
import { parseAddressRange } from "../../src/control/server/security/address-range.ts";
import { eachDatabase, type OpenServe, type TestServe } from "../support/control-server.ts";
import { runTestCommand, temporaryDirectory } from "../support/loop-device.ts";
import { configurationText, makeTftpRoot, until } from "../support/pxelinux.ts";
import { mountTmpfs } from "../support/tmpfs.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

type TftpRoot = Awaited<ReturnType<typeof makeTftpRoot>>;

const facades = { names: ["pxe-pilot" as const, "ipxe" as const], clients: [parseAddressRange("127.0.0.1")] };
const h1 = { id: "00000000-0000-0000-0000-0000000000a1", name: "h1", macs: ["52:54:00:00:00:01", "52:54:00:00:00:02"] };
const h2 = { id: "00000000-0000-0000-0000-0000000000a2", name: "h2", macs: ["52:54:00:00:00:03"] };
const [first, second, third] = ["01-52-54-00-00-00-01", "01-52-54-00-00-00-02", "01-52-54-00-00-00-03"] as const;

async function openOn(tftp: TftpRoot, open: OpenServe, options: Parameters<OpenServe>[0] = {}): Promise<TestServe> {
  const pxelinux = { root: tftp.root, configurationsDir: tftp.configurationsDir, retryWindowMs: 0 };
  return await open({ facades, pxelinux, ...options });
}

async function openWithHosts(tftp: TftpRoot, open: OpenServe): Promise<TestServe> {
  const serve = await openOn(tftp, open);
  for (const host of [h1, h2]) await serve.must("POST", "/machines", host);
  return serve;
}

async function deploy(serve: TestServe, configuration: string, ...hosts: string[]) {
  const body = JSON.stringify({ hosts: hosts.map((name) => ({ name })) });
  const response = await fetch(`${serve.url}/configurations/${configuration}/deploy`, { method: "PUT", body });
  return { status: response.status, text: await response.text() };
}

const read = (tftp: TftpRoot, link: string) => readFile(join(tftp.links, link), "utf8").catch(() => null);
const reinstallOf = async (serve: TestServe) => (await serve.must<Machine>("GET", `/machines/${h1.id}`)).reinstall;

eachDatabase("pxelinux.cfg", (open, dialect) => {
  test("the operator's files can be deployed by name, new ones at once; `local` stays what it is", async () => {
    await using tftp = await makeTftpRoot();
    await using serve = await openWithHosts(tftp, open);
    expect(await deploy(serve, "grml-2017.05", "h1")).toMatchObject({ status: 200 });
    expect(await tftp.listing()).toMatchObject({ [first]: "conf/grml-2017.05", [second]: first });
    await writeFile(join(tftp.configurationsDir, "brand-new"), "DEFAULT new\n");
    expect(await deploy(serve, "brand-new", "h1", "h2")).toMatchObject({ status: 200 });
    expect(await tftp.listing()).toMatchObject({ [first]: "conf/brand-new", [third]: "conf/brand-new" });
    const shown = await (await fetch(`${serve.url}/v1/configurations/local`)).json();
    expect(shown).toEqual({ name: "local", content: configurationText("local") });
    expect(await serve.must("GET", "/boot-configurations/local")).toEqual({ name: "local", kind: "local" });
    // iPXE cannot be told in the words of PXELINUX; `local` it can.
    expect(await (await fetch(`${serve.url}/boot/52-54-00-00-00-03.ipxe`)).text()).toContain("written for pxelinux");
    await deploy(serve, "local", "h2");
    expect(await (await fetch(`${serve.url}/boot/52-54-00-00-00-03.ipxe`)).text()).toContain("sanboot");
  });

  test("what has no file gets one; what PXELINUX cannot be told becomes the disk", async () => {
    await using tftp = await makeTftpRoot([]);
    await using serve = await openWithHosts(tftp, open);
    await serve.must("PUT", "/boot-configurations/live", {
      name: "live",
      kind: "linux",
      kernel: "vmlinuz",
      cmdline: "a",
    });
    const grub = { name: "for-grub", kind: "text", bootloader: "grub", content: "x" };
    await serve.must("PUT", "/boot-configurations/for-grub", grub);
    await deploy(serve, "live", "h1");
    expect(await read(tftp, first)).toBe("DEFAULT live\nLABEL live\n  LINUX vmlinuz\n  APPEND a\n");
    await deploy(serve, "for-grub", "h1");
    expect(await read(tftp, first)).toContain("LOCALBOOT 0");
    expect(serve.log.join("\n")).toContain("for-grub");
  });

  test("a reinstallation: it asks first; its boots are counted by being read; then somebody has to look", async () => {
    await using tftp = await makeTftpRoot(["local"]);
    await using serve = await openWithHosts(tftp, open);
    const linux = { name: "reimage", kind: "linux", kernel: "vmlinuz", cmdline: "quiet" };
    await serve.must("PUT", "/boot-configurations/reimage", linux);
    const rescue = { name: "rescue", kind: "text", bootloader: "pxelinux", content: "DEFAULT rescue\n" };
    await serve.must("PUT", "/boot-configurations/rescue", rescue);
    await serve.must("PUT", "/images/os-2", { id: "os-2" });
    await serve.must("POST", `/machines/${h1.id}/reinstalls`, { imageId: "os-2", mostAttempts: 2 });
    for (const left of [2, 1]) {
      await until(async () => (await tftp.listing())[first]?.includes(`-${left}@reimage`) === true);
      expect(await read(tftp, first)).toContain("APPEND quiet reimage.control.decides=true\n");
    }
    await until(async () => (await tftp.listing())[first]?.includes("used-up@rescue") === true);
    expect(await reinstallOf(serve)).toMatchObject({ state: "requested" }); // the last boot may still call
    expect(await read(tftp, first)).toBe("DEFAULT rescue\n");
    await until(async () => (await reinstallOf(serve))?.state === "parked");
    await until(async () => (await tftp.listing())[first] === "conf/from-reimage/rescue");
    // An operator who deploys it himself is not asked by the machine.
    await deploy(serve, "reimage", "h2");
    expect(await read(tftp, third)).not.toContain("decides");
  });

  test("a machine that is removed has no links; a card that moves boots what its new machine boots", async () => {
    await using tftp = await makeTftpRoot();
    await using serve = await openWithHosts(tftp, open);
    await deploy(serve, "install", "h1");
    await deploy(serve, "local", "h2");
    await serve.must("PATCH", `/machines/${h1.id}`, { macs: [h1.macs[0]] });
    await until(async () => !((await tftp.listing())[second] !== undefined));
    await serve.must("PATCH", `/machines/${h2.id}`, { macs: [...h2.macs, h1.macs[1]] });
    await until(async () => (await tftp.listing())[second] === third);
    await serve.must("DELETE", `/machines/${h2.id}`);
    await until(async () => (await tftp.listing())[third] === undefined);
    expect(await tftp.listing()).toMatchObject({ [first]: "conf/install" });
    expect((await tftp.listing())[second]).toBeUndefined();
  });

  test("a file in the place of a link: all hosts of the request stay as they are, and others can be switched", async () => {
    await using tftp = await makeTftpRoot();
    await using serve = await openWithHosts(tftp, open);
    await writeFile(join(tftp.links, third), "# mine\n");
    const refused = await deploy(serve, "install", "h1", "h2");
    expect(refused).toMatchObject({ status: 409 });
    expect(refused.text).toContain(third);
    expect(await serve.must("GET", `/machines/${h1.id}`)).toMatchObject({ configuration: "local" });
    expect((await tftp.listing())[first]).toBeUndefined();
    // The API's own deploy knows nothing of files: the database is right, the file stays, and the log tells of it.
    await serve.must("POST", "/boot-configurations/install/deploy", { machines: ["h1", "h2"] });
    await until(async () => (await tftp.listing())[first] === "conf/install");
    expect(await read(tftp, third)).toBe("# mine\n");
    await until(() => serve.log.some((line) => line.includes(third)));
    await rm(join(tftp.links, third));
    expect(await deploy(serve, "grml-2017.05", "h2")).toMatchObject({ status: 200 });
    expect((await tftp.listing())[third]).toBe("conf/grml-2017.05");
  });

  test("a directory that cannot be written: the request says so, and it is made right as soon as it can be", async () => {
    await using tmpfs = await mountTmpfs(4 << 20);
    await using tftp = await makeTftpRoot(["local", "install"], tmpfs.dir);
    await using serve = await openWithHosts(tftp, open);
    await deploy(serve, "local", "h1", "h2");
    await runTestCommand(["mount", "-o", "remount,ro", tmpfs.dir]);
    const refused = await deploy(serve, "install", "h1", "h2");
    expect(refused.status).toBe(503);
    expect(refused.text).toContain("cannot be switched yet");
    expect(await tftp.listing()).toMatchObject({ [first]: "conf/local", [third]: "conf/local" });
    await runTestCommand(["mount", "-o", "remount,rw", tmpfs.dir]);
    await serve.must("PATCH", `/machines/${h1.id}`, { serial: "any change" });
    await until(async () => (await tftp.listing())[first] === "conf/install");
    expect(await deploy(serve, "install", "h2")).toMatchObject({ status: 200 });
    expect((await tftp.listing())[third]).toBe("conf/install");
  });

  test("what was deployed while serve was down, or changed by hand, is made right at the next start", async () => {
    await using tftp = await makeTftpRoot();
    let kept: { databaseUrl: string | null; dataDir: string };
    await using data = await temporaryDirectory(); // outlives serve
    {
      await using serve = await openOn(tftp, open, { dataDir: data.dir });
      for (const host of [h1, h2]) await serve.must("POST", "/machines", host);
      await deploy(serve, "install", "h1", "h2");
      kept = { databaseUrl: serve.databaseUrl, dataDir: data.dir };
    }
    {
      await using without = await open({ ...kept, facades });
      await without.must("POST", "/boot-configurations/local/deploy", { machines: ["h1"] });
    }
    await rm(join(tftp.links, third));
    await using _serve = await openOn(tftp, open, kept);
    expect(await tftp.listing()).toMatchObject({ [first]: "conf/local", [second]: first, [third]: "conf/install" });
  });

  // SQLite is one process's.
  if (dialect === "sqlite") return;
  test("two serves on one database: one keeps the directory, the other takes it over", async () => {
    await using tftp = await makeTftpRoot();
    await using data = await temporaryDirectory();
    await using stack = new AsyncDisposableStack();
    const keeper = await openOn(tftp, open, { dataDir: data.dir });
    stack.defer(() => keeper[Symbol.asyncDispose]());
    const shared = { databaseUrl: keeper.databaseUrl, dataDir: data.dir };
    await using other = await openOn(tftp, open, shared);
    expect(other.log.join("\n")).toContain("another process keeps");
    for (const host of [h1, h2]) await other.must("POST", "/machines", host);
    await other.must("POST", "/boot-configurations/install/deploy", { machines: ["h1"] });
    await until(async () => (await tftp.listing())[first] === "conf/install");
    await stack.disposeAsync();
    await other.must("POST", "/boot-configurations/grml-2017.05/deploy", { machines: ["h1", "h2"] });
    await until(async () => (await tftp.listing())[third] === "conf/grml-2017.05");
    expect(await tftp.listing()).toMatchObject({ [first]: "conf/grml-2017.05" });
  });
});
