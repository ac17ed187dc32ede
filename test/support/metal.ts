/** A machine and its operator as metal-stack's programs speak, to a real endpoint. */
import { randomBytes, randomUUID } from "node:crypto";
import type { Machine } from "../../src/control/protocol/machine.ts";
import { changeMachine } from "../../src/control/server/operations/machines.ts";
import type { PowerAdapter } from "../../src/control/server/power/adapter.ts";
import { parseAddressRange } from "../../src/control/server/security/address-range.ts";
import type { OpenServe, TestServe } from "./control-server.ts";

export interface MetalAnswer {
  readonly status: number;
  /** JSON where it is, else text; "" for an empty answer. */
  readonly body: unknown;
}

export interface TestMetal extends AsyncDisposable {
  readonly serve: TestServe;
  call(method: string, path: string, body?: unknown): Promise<MetalAnswer>;
  /** Moves the endpoint's clock. */
  later(seconds: number): void;
}

/** An adapter whose commands do nothing, successfully. */
const adapter: PowerAdapter = {
  name: "nothing",
  commands: {
    on: ["/bin/true"],
    off: ["/bin/true"],
    reset: ["/bin/true"],
    status: ["/bin/echo", "on"],
    "next-boot-network": ["/bin/true"],
    "next-boot-disk": ["/bin/true"],
  },
  statusOn: "on",
  statusOff: "off",
  expected: {},
  timeoutSeconds: 5,
  retries: 0,
  env: {},
  defaults: {},
};

/** Opens an endpoint with the images os-1 and os-2 and the boot configuration of the reimager. */
export async function openMetal(open: OpenServe, waitSeconds = 0.05): Promise<TestMetal> {
  let aheadMs = 0;
  const serve = await open({
    facades: { names: ["metal"], clients: [parseAddressRange("127.0.0.1")], metalWaitSeconds: waitSeconds },
    powerAdapters: [adapter],
    now: () => Date.now() + aheadMs,
  });
  for (const id of ["os-1", "os-2"]) await serve.must("PUT", `/images/${id}`, { id, url: `http://images/${id}` });
  await serve.must("PUT", "/images/os-unfetched", { id: "os-unfetched" });
  await serve.must("PUT", "/boot-configurations/reimage", {
    name: "reimage",
    kind: "linux",
    kernel: "http://boot/vmlinuz",
    initrd: ["http://boot/initrd.img"],
    cmdline: "console=ttyS0",
  });
  return {
    serve,
    async call(method, path, body) {
      const response = await fetch(serve.url + path, {
        method,
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
        headers: { "content-type": "application/json" },
      });
      const text = await response.text();
      const isJson = response.headers.get("content-type")?.startsWith("application/json") ?? false;
      return { status: response.status, body: isJson ? JSON.parse(text) : text };
    },
    later: (seconds) => {
      aheadMs += seconds * 1000;
    },
    [Symbol.asyncDispose]: () => serve[Symbol.asyncDispose](),
  };
}

/** What a new OS is started with, in the underscored spelling. */
export const installed = {
  console_password: "secret-of-the-console",
  primary_disk: "/dev/sda",
  os_partition: "/dev/sda2",
  initrd: "/boot/initrd.img",
  cmdline: "root=/dev/sda2",
  kernel: "/boot/vmlinuz",
  bootloaderid: "debian",
};
export const success = { success: true, message: "done", ...installed };

export interface MetalMachine {
  readonly id: string;
  readonly mac: string;
  state(): Promise<Machine>;
  /** GET /v1/boot: "reimage", or "local" for the answer without a body. */
  boot(): Promise<"reimage" | "local">;
  reinstall(): Promise<MetalAnswer>;
  register(): Promise<MetalAnswer>;
  event(event: string): Promise<MetalAnswer>;
  report(body?: Record<string, unknown>): Promise<MetalAnswer>;
  abort(isWiped: boolean): Promise<MetalAnswer>;
}

/** A machine that an operator has named, with os-1 on it; every network boot is a minute after the one before. */
export async function addMachine(metal: TestMetal, options: { imageId?: string | null } = {}): Promise<MetalMachine> {
  const { imageId = "os-1" } = options;
  const id = randomUUID();
  const mac = `52:54:00:${randomBytes(3)
    .toString("hex")
    .replace(/(..)(?=.)/g, "$1:")}`;
  await metal.serve.must("POST", "/machines", { id, macs: [mac], ...(imageId === null ? {} : { imageId }) });
  const post = (path: string, body: unknown) => metal.call("POST", path, body);
  return {
    id,
    mac,
    state: () => metal.serve.must<Machine>("GET", `/machines/${id}`),
    async boot() {
      metal.later(60);
      const { status, body } = await metal.call("GET", `/v1/boot/${mac}`);
      if (status === 200 && body === "") return "local";
      if (status === 200 && typeof body === "object" && body !== null && "kernel" in body) return "reimage";
      throw new Error(`GET /v1/boot: ${status} ${JSON.stringify(body)}`);
    },
    reinstall: () => post(`/v1/machine/${id}/reinstall`, { id, name: "", description: "", imageid: "os-2" }),
    register: () => post(`/machine/register/${id}`, { uuid: id, nics: [{ mac, name: "eth0", neighbors: [] }] }),
    event: (event) => post(`/machine/${id}/event`, { event, message: "" }),
    report: (body = success) => post(`/machine/report/${id}`, body),
    abort: (isWiped) => post(`/machine/abort-reinstall/${id}`, { primary_disk_wiped: isWiped }),
  };
}

/** Gives a machine a power adapter. */
export async function addAdapter({ serve }: TestMetal, id: string, name = "nothing"): Promise<void> {
  const actor = { name: "test", address: null };
  await changeMachine(serve.serve.endpoint.store, actor, id, { power: { adapter: name, variables: {} } });
}
