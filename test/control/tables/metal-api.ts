/** metal-api: requests and their answers, as its clients have come to know them. */
import type { Row } from "./metal-row.ts";

const UNFIT = /^machine either locked, not allocated yet or invalid image ID specified$/;
const wanted = { id: "{id}", name: "web-1", description: "new OS", imageid: "os-2" };
const finalize = {
  console_password: "x",
  primarydisk: "/dev/sda",
  ospartition: "/dev/sda2",
  initrd: "/boot/initrd.img",
  cmdline: "root=/dev/sda2",
  kernel: "/boot/vmlinuz",
  bootloaderid: "debian",
};
const underscored = {
  console_password: "x",
  primary_disk: "/dev/sda",
  os_partition: "/dev/sda2",
  initrd: "/boot/initrd.img",
  cmdline: "",
  kernel: "/boot/vmlinuz",
  bootloader_id: "debian",
};
const registration = {
  uuid: "{id}",
  partitionid: "north",
  rackid: "rack-7",
  hardware: { memory: 16, cpu_cores: 8, disks: [], nics: [{ mac: "{mac}", name: "eth0", neighbors: [] }] },
  ipmi: { address: "10.0.0.7", mac: "", user: "metal", password: "secret", interface: "lanplus" },
  bios: { version: "1", vendor: "v", date: "d" },
  tags: ["fast"],
};
const bootInfo = { image_id: "os-2", primary_disk: "/dev/sda", os_partition: "/dev/sda2", bootloaderid: "debian" };
const post = { method: "POST" } as const;
const get = { method: "GET" } as const;

export const metalApi: readonly Row[] = [
  // POST /v1/machine/{id}/reinstall
  {
    given: "named",
    ...post,
    path: "/v1/machine/{id}/reinstall",
    body: wanted,
    status: 200,
    answer: {
      id: "{id}",
      allocation: {
        reinstall: true,
        name: "web-1",
        description: "new OS",
        image: { id: "os-2" },
        boot_info: { image_id: "os-1" },
      },
    },
  },
  ...["image_id", "imageId"].map((name): Row => {
    const body = { id: "{id}", [name]: "os-2" };
    return {
      given: "named",
      ...post,
      path: "/v1/machine/{id}/reinstall",
      body,
      status: 200,
      answer: { allocation: { reinstall: true } },
    };
  }),
  { given: "locked", ...post, path: "/v1/machine/{id}/reinstall", body: wanted, status: 400, answer: UNFIT },
  { given: "discovered", ...post, path: "/v1/machine/{id}/reinstall", body: wanted, status: 400, answer: UNFIT },
  { given: "freed", ...post, path: "/v1/machine/{id}/reinstall", body: wanted, status: 400, answer: UNFIT },
  {
    given: "named",
    ...post,
    path: "/v1/machine/{id}/reinstall",
    body: { ...wanted, imageid: "os-9" },
    status: 400,
    answer: UNFIT,
  },
  { given: "named", ...post, path: "/v1/machine/{id}/reinstall", body: { id: "{id}" }, status: 400, answer: UNFIT },
  {
    given: "requested",
    ...post,
    path: "/v1/machine/{id}/reinstall",
    body: wanted,
    status: 409,
    answer: /being reinstalled already/,
  },
  { given: "unknown", ...post, path: "/v1/machine/{id}/reinstall", body: wanted, status: 404, answer: /no machine/ },
  { given: "named", ...post, path: "/v1/machine/{id}/reinstall", body: "[]", status: 422, answer: /no JSON object/ },
  {
    given: "with power",
    ...post,
    path: "/v1/machine/{id}/reinstall",
    body: wanted,
    status: 200,
    answer: { allocation: { reinstall: true } },
  },
  {
    given: "adapter missing",
    ...post,
    path: "/v1/machine/{id}/reinstall",
    body: wanted,
    status: 409,
    answer: /not configured/,
  },

  // POST /v1/machine/{id}/abort-reinstall
  {
    given: "registered",
    ...post,
    path: "/v1/machine/{id}/abort-reinstall",
    body: { primary_disk_wiped: false },
    status: 200,
    answer: { image_id: "os-1" },
  },
  {
    given: "registered",
    ...post,
    path: "/v1/machine/{id}/abort-reinstall",
    body: { primary_disk_wiped: true },
    status: 200,
    answer: null,
  },
  {
    given: "registered",
    ...post,
    path: "/v1/machine/{id}/abort-reinstall",
    body: {},
    status: 422,
    answer: /primarydiskwiped/,
  },
  {
    given: "unknown",
    ...post,
    path: "/v1/machine/{id}/abort-reinstall",
    body: { primary_disk_wiped: false },
    status: 404,
    answer: /no machine/,
  },

  // POST /v1/machine/{id}/finalize-allocation
  {
    given: "registered",
    ...post,
    path: "/v1/machine/{id}/finalize-allocation",
    body: finalize,
    status: 200,
    answer: { allocation: { reinstall: false, image: { id: "os-2" }, boot_info: bootInfo } },
  },
  {
    given: "registered",
    ...post,
    path: "/v1/machine/{id}/finalize-allocation",
    body: underscored,
    status: 200,
    answer: { allocation: { boot_info: bootInfo } },
  },
  {
    given: "reported",
    ...post,
    path: "/v1/machine/{id}/finalize-allocation",
    body: finalize,
    status: 200,
    answer: { allocation: { reinstall: false } },
  },
  {
    given: "aborted",
    ...post,
    path: "/v1/machine/{id}/finalize-allocation",
    body: finalize,
    status: 200,
    answer: { allocation: { reinstall: false, image: { id: "os-1" } } },
  },
  {
    given: "requested",
    ...post,
    path: "/v1/machine/{id}/finalize-allocation",
    body: finalize,
    status: 409,
    answer: /has not begun/,
  },
  {
    given: "named",
    ...post,
    path: "/v1/machine/{id}/finalize-allocation",
    body: finalize,
    status: 409,
    answer: /no reinstallation/,
  },
  {
    given: "registered",
    ...post,
    path: "/v1/machine/{id}/finalize-allocation",
    body: { ...finalize, primarydisk: "" },
    status: 422,
    answer: /primarydisk/,
  },
  {
    given: "unknown",
    ...post,
    path: "/v1/machine/{id}/finalize-allocation",
    body: finalize,
    status: 404,
    answer: /no machine/,
  },

  // POST /v1/machine/register
  {
    given: "unknown",
    ...post,
    path: "/v1/machine/register",
    body: registration,
    status: 201,
    answer: {
      id: "{id}",
      rackid: "rack-7",
      partition: { id: "north" },
      tags: ["fast"],
      bios: { vendor: "v" },
      hardware: { memory: 16 },
      allocation: null,
    },
  },
  {
    given: "discovered",
    ...post,
    path: "/v1/machine/register",
    body: registration,
    status: 200,
    answer: { id: "{id}" },
  },
  {
    given: "requested",
    ...post,
    path: "/v1/machine/register",
    body: registration,
    status: 200,
    answer: { allocation: { reinstall: true } },
  },
  {
    given: "named",
    ...post,
    path: "/v1/machine/register",
    body: registration,
    status: 409,
    answer: /must not be written/,
  },
  {
    given: "unknown",
    ...post,
    path: "/v1/machine/register",
    body: { ...registration, uuid: "" },
    status: 422,
    answer: /^uuid cannot be empty$/,
  },
  { given: "unknown", ...post, path: "/v1/machine/register", body: {}, status: 422, answer: /^uuid cannot be empty$/ },
  { given: "unknown", ...post, path: "/v1/machine/register", body: { uuid: "x" }, status: 422, answer: /no UUID/ },

  // GET /v1/machine/{id}/wait
  {
    given: "requested",
    ...get,
    path: "/v1/machine/{id}/wait",
    status: 200,
    answer: { allocation: { reinstall: true } },
  },
  { given: "named", ...get, path: "/v1/machine/{id}/wait", status: 504, answer: /time/ },
  { given: "unknown", ...get, path: "/v1/machine/{id}/wait", status: 404, answer: /no machine/ },

  // GET and POST /v1/machine/{id}/event
  {
    given: "named",
    ...get,
    path: "/v1/machine/{id}/event",
    status: 200,
    answer: { log: [], crash_loop: false, incomplete_provisioning_cycles: "0", last_event_time: null },
  },
  {
    given: "writing",
    ...get,
    path: "/v1/machine/{id}/event",
    status: 200,
    answer: {
      log: [
        { event: "Installing" },
        { event: "Registering" },
        { event: "Preparing" },
        { event: "PXE Booting", message: "machine sent extended dhcp request" },
        { event: "Planned Reboot" },
      ],
    },
  },
  { given: "unknown", ...get, path: "/v1/machine/{id}/event", status: 404, answer: /no machine/ },
  {
    given: "unknown",
    ...post,
    path: "/v1/machine/{id}/event",
    body: { event: "Preparing", message: "m", time: "1970-01-01T00:00:01Z" },
    status: 200,
    answer: { log: [{ event: "Preparing", message: "m", time: "1970-01-01T00:00:01.000Z" }] },
  },
  {
    given: "registered",
    ...post,
    path: "/v1/machine/{id}/event",
    body: { event: "Crashed", message: "no disk" },
    status: 200,
    answer: { crash_loop: true, last_error_event: { event: "Crashed", message: "no disk" } },
  },
  {
    given: "registered",
    ...post,
    path: "/v1/machine/{id}/event",
    body: { event: "Preparing" },
    status: 200,
    answer: {
      crash_loop: true,
      incomplete_provisioning_cycles: "1",
      last_error_event: { message: "[unexpectedly received in state registering]" },
    },
  },
  {
    given: "named",
    ...post,
    path: "/v1/machine/{id}/event",
    body: { event: "Rebooting" },
    status: 422,
    answer: /unknown provisioning event "Rebooting"/,
  },
  {
    given: "named",
    ...post,
    path: "/v1/machine/{id}/event",
    body: { event: "Alive", time: "yesterday" },
    status: 422,
    answer: /time/,
  },
  {
    given: "unknown",
    ...post,
    path: "/v1/machine/no-uuid/event",
    body: { event: "Alive" },
    status: 422,
    answer: /no UUID/,
  },
];
