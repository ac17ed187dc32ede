/** What iPXE is answered, on both databases. A real iPXE boots in test/vm/netboot.test.ts. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { parseAddressRange } from "../../src/control/server/security/address-range.ts";
import { eachDatabase, type TestServe } from "../support/control-server.ts";

setDefaultTimeout(120_000); // how long a machine takes says nothing about what is tested

const facades = { names: ["ipxe" as const], clients: [parseAddressRange("127.0.0.1")] };

const get = async (serve: TestServe, path: string) => {
  const response = await fetch(serve.url + path);
  return { status: response.status, type: response.headers.get("content-type"), text: await response.text() };
};

eachDatabase("ipxe", (open) => {
  test("the first script sends every card, and every answer is a script", async () => {
    await using serve = await open({ facades });
    const first = await get(serve, "/boot.ipxe");
    expect(first).toMatchObject({ status: 200, type: expect.stringContaining("text/plain") });
    expect(first.text).toMatch(/^#!ipxe\n/);
    expect(first.text.replaceAll("$", "")).toContain(
      "chain boot/{netX/mac:hexhyp}.ipxe?mac={net0/mac:hexhyp}&mac={net1/mac:hexhyp}",
    );
    for (const path of [
      "/boot/52-54-00-00-00-01.ipxe",
      "/boot/nonsense.ipxe",
      "/boot/.ipxe?mac=&mac=x",
      "/boot/a%0Aecho.ipxe",
    ]) {
      const { status, text } = await get(serve, path);
      expect({ path, status }).toEqual({ path, status: 200 });
      expect(text).toMatch(
        /^#!ipxe\necho reimage: this machine \([^\n]*\) is not known here[^\n]*\nsleep 5\nsanboot .* \|\| exit\n$/,
      );
    }
  });

  test("a machine is known by any of its cards, in any spelling; a reinstallation asks first, and no token is told", async () => {
    await using serve = await open({ facades });
    const machine = await serve.enrol();
    const reimage = { name: "reimage", kind: "linux", kernel: "http://x/vmlinuz", cmdline: "quiet" };
    await serve.must("PUT", "/boot-configurations/reimage", reimage);
    await serve.must("POST", "/boot-configurations/reimage/deploy", { machines: [machine.id] });
    const paths = [
      `/boot/${machine.mac}.ipxe`,
      `/boot/${machine.mac.toUpperCase().replaceAll(":", "-")}.ipxe`,
      `/boot/02-00-00-00-00-01.ipxe?mac=&mac=${machine.mac}&mac=`,
    ];
    for (const path of paths)
      expect((await get(serve, path)).text).toContain("kernel http://x/vmlinuz quiet || goto failed");
    await serve.must("POST", `/machines/${machine.id}/boot-local`);
    await serve.must("PUT", "/images/os-2", { id: "os-2" });
    await serve.must("POST", `/machines/${machine.id}/reinstalls`, { imageId: "os-2" });
    for (const path of paths) {
      const { text } = await get(serve, path);
      expect(text).toContain("kernel http://x/vmlinuz quiet reimage.control.decides=true || goto failed");
      expect(text).not.toContain(machine.token);
      expect(text).not.toContain(serve.adminToken);
    }
  });

  test("what cannot be said to iPXE is said on its console, asked for again, and given up", async () => {
    await using serve = await open({ facades });
    const machine = await serve.enrol();
    const bad = { name: "bad", kind: "linux", kernel: "http://x/vmlinuz", cmdline: "a || shell" };
    await serve.must("PUT", "/boot-configurations/bad", bad);
    await serve.must("POST", "/boot-configurations/bad/deploy", { machines: [machine.id] });
    const { status, text } = await get(serve, `/boot/${machine.mac}.ipxe`);
    expect(status).toBe(200);
    expect(text).toMatch(
      /\necho reimage: boot configuration bad cannot be said to ipxe: iPXE gives a meaning of its own to\n/,
    );
    expect(text).not.toContain("|| shell");
    expect(text).toContain(`chain /boot/${machine.mac}.ipxe && exit ||`);
    expect(text).toContain("goto disk");
  });

  test("a look at what would boot (HEAD) is no boot", async () => {
    await using serve = await open({ facades });
    const machine = await serve.enrol();
    const install = { name: "install", kind: "linux", kernel: "http://x/vmlinuz" };
    await serve.must("PUT", "/boot-configurations/install", install);
    await serve.must("POST", "/boot-configurations/install/deploy", { machines: [machine.id], boots: 1 });
    const looked = await fetch(`${serve.url}/boot/${machine.mac}.ipxe`, { method: "HEAD" });
    expect({ status: looked.status, allow: looked.headers.get("allow") }).toEqual({ status: 405, allow: "GET" });
    expect(await serve.must("GET", `/machines/${machine.id}`)).toMatchObject({ configuration: "install" });
    expect((await get(serve, `/boot/${machine.mac}.ipxe`)).text).toContain("kernel http://x/vmlinuz");
  });

  test("from elsewhere nothing is answered, and nothing counted", async () => {
    const others = { names: ["ipxe" as const], clients: [parseAddressRange("10.0.0.0/8")] };
    await using serve = await open({ facades: others });
    const machine = await serve.enrol();
    await serve.must("PUT", "/boot-configurations/x", { name: "x", kind: "linux", kernel: "k" });
    await serve.must("POST", "/boot-configurations/x/deploy", { machines: [machine.id], boots: 1 });
    expect((await get(serve, `/boot/${machine.mac}.ipxe`)).status).toBe(403);
    expect(await serve.must("GET", `/machines/${machine.id}`)).toMatchObject({ configuration: "x" });
  });
});
