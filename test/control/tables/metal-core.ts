/** metal-core: requests and their answers, as its clients have come to know them. */
import type { Row } from "./metal-row.ts";

const report = {
  success: true,
  message: "installed",
  console_password: "x",
  primary_disk: "/dev/sda",
  os_partition: "/dev/sda2",
  initrd: "/boot/initrd.img",
  cmdline: "root=/dev/sda2",
  kernel: "/boot/vmlinuz",
  bootloaderid: "debian",
};
/** The report with other fields; undefined: without it. */
const but = (change: Record<string, unknown>) => ({ ...report, ...change });
const nic = { mac: "{mac}", name: "eth0", neighbors: [] };
const hardware = { uuid: "{id}", cpu_cores: 8, memory: 16, disks: [{ name: "/dev/sda", size: 5 }], nics: [nic] };
const nothing = { given: "named", method: "POST" } as const;

export const metalCore: readonly Row[] = [
  // GET /v1/boot/{mac}: an empty answer means: do not boot from the network
  { given: "unknown", method: "GET", path: "/v1/boot/{mac}", status: 200, answer: "" },
  { given: "discovered", method: "GET", path: "/v1/boot/{mac}", status: 200, answer: "" },
  { given: "named", method: "GET", path: "/v1/boot/{mac}", status: 200, answer: "" },
  { given: "named", method: "GET", path: "/v1/boot/no-mac", status: 200, answer: "" },
  {
    given: "requested",
    method: "GET",
    path: "/v1/boot/{mac}",
    status: 200,
    answer: {
      kernel: "http://boot/vmlinuz",
      initrd: ["http://boot/initrd.img"],
      cmdline: "console=ttyS0 reimage.control.decides=true",
    },
  },
  { given: "requested", method: "GET", path: "/v1/boot/{MAC}", status: 200, answer: { kernel: "http://boot/vmlinuz" } },
  { given: "reported", method: "GET", path: "/v1/boot/{mac}", status: 200, answer: "" },
  { given: "aborted", method: "GET", path: "/v1/boot/{mac}", status: 200, answer: "" },
  { given: "parked", method: "GET", path: "/v1/boot/{mac}", status: 200, answer: "" },

  // GET /v1/dhcp/{guid}
  { given: "unknown", method: "GET", path: "/v1/dhcp/{id}", status: 200, answer: {} },
  { given: "named", method: "GET", path: "/v1/dhcp/{id}", status: 200, answer: {} },

  // GET /machine/{id}
  { given: "unknown", method: "GET", path: "/machine/{id}", status: 500, answer: /^Failed to find machine$/ },
  {
    given: "named",
    method: "GET",
    path: "/machine/{id}",
    status: 200,
    answer: { id: "{id}", allocation: { reinstall: false } },
  },
  {
    given: "registered",
    method: "GET",
    path: "/machine/{id}",
    status: 200,
    answer: {
      allocation: {
        reinstall: true,
        image: { id: "os-2", url: "http://images/os-2" },
        boot_info: { image_id: "os-1" },
      },
    },
  },

  // POST /machine/register/{id}
  {
    given: "unknown",
    method: "POST",
    path: "/machine/register/{id}",
    body: hardware,
    status: 200,
    answer: { allocation: null },
  },
  {
    given: "requested",
    method: "POST",
    path: "/machine/register/{id}",
    body: hardware,
    status: 200,
    answer: { hardware: { cpu_cores: 8, nics: [{ mac: "{mac}" }] }, allocation: { reinstall: true } },
  },
  {
    given: "named",
    method: "POST",
    path: "/machine/register/{id}",
    body: hardware,
    status: 500,
    answer: /must not be written/,
  },
  {
    given: "locked",
    method: "POST",
    path: "/machine/register/{id}",
    body: hardware,
    status: 500,
    answer: /must not be written/,
  },
  { given: "parked", method: "POST", path: "/machine/register/{id}", body: hardware, status: 500, answer: /attempts/ },
  { given: "unknown", method: "POST", path: "/machine/register/{id}", body: "{", status: 400, answer: /no JSON/ },
  {
    given: "unknown",
    method: "POST",
    path: "/machine/register/{id}",
    body: { nics: [{ mac: "x" }] },
    status: 400,
    answer: /MAC/,
  },
  {
    given: "unknown",
    method: "POST",
    path: "/machine/register/no-uuid",
    body: hardware,
    status: 400,
    answer: /no UUID/,
  },

  // GET /machine/install/{id}
  { given: "unknown", method: "GET", path: "/machine/install/{id}", status: 404, answer: /no machine/ },
  { given: "discovered", method: "GET", path: "/machine/install/{id}", status: 304, answer: "" },
  { given: "named", method: "GET", path: "/machine/install/{id}", status: 304, answer: "" },
  { given: "parked", method: "GET", path: "/machine/install/{id}", status: 304, answer: "" },
  {
    given: "requested",
    method: "GET",
    path: "/machine/install/{id}",
    status: 200,
    answer: { allocation: { reinstall: true } },
  },
  { given: "requested without url", method: "GET", path: "/machine/install/{id}", status: 417, answer: /no url/ },

  // POST /machine/report/{id}
  { given: "registered", method: "POST", path: "/machine/report/{id}", body: report, status: 200, answer: "" },
  { given: "reported", method: "POST", path: "/machine/report/{id}", body: report, status: 200, answer: "" },
  { given: "aborted", method: "POST", path: "/machine/report/{id}", body: report, status: 200, answer: "" },
  ...["primary_disk", "os_partition", "initrd", "cmdline", "kernel", "bootloaderid", "message", "console_password"].map(
    (name): Row => ({
      given: "registered",
      method: "POST",
      path: "/machine/report/{id}",
      body: but({ [name]: undefined }),
      status: 500,
      answer: new RegExp(`^${name.replace("_", "")}: `),
    }),
  ),
  ...(
    [
      ["primarydisk", "ospartition", "bootloader_id", "consolepassword"],
      ["primaryDisk", "osPartition", "bootloaderId", "consolePassword"],
    ] as const
  ).map(([disk, partition, loader, password]): Row => {
    const { primary_disk, os_partition, bootloaderid, console_password, ...same } = report;
    const body = {
      ...same,
      [disk]: primary_disk,
      [partition]: os_partition,
      [loader]: bootloaderid,
      [password]: console_password,
    };
    return { given: "registered", method: "POST", path: "/machine/report/{id}", body, status: 200, answer: "" };
  }),
  {
    given: "registered",
    method: "POST",
    path: "/machine/report/{id}",
    body: but({ primarydisk: "/dev/sdb" }),
    status: 500,
    answer: /primarydisk is said twice/,
  },
  {
    given: "registered",
    method: "POST",
    path: "/machine/report/{id}",
    body: but({ kernel: "" }),
    status: 500,
    answer: /kernel/,
  },
  {
    given: "registered",
    method: "POST",
    path: "/machine/report/{id}",
    body: but({ success: "yes" }),
    status: 500,
    answer: /success/,
  },
  {
    given: "registered",
    method: "POST",
    path: "/machine/report/{id}",
    body: but({ success: false }),
    status: 406,
    answer: /installed/,
  },
  {
    given: "registered",
    method: "POST",
    path: "/machine/report/{id}",
    body: { success: false },
    status: 406,
    answer: /./,
  },
  {
    given: "named",
    method: "POST",
    path: "/machine/report/{id}",
    body: but({ success: false }),
    status: 406,
    answer: /./,
  },
  {
    given: "requested",
    method: "POST",
    path: "/machine/report/{id}",
    body: report,
    status: 500,
    answer: /has not begun/,
  },
  { ...nothing, path: "/machine/report/{id}", body: report, status: 500, answer: /no reinstallation/ },
  { given: "unknown", method: "POST", path: "/machine/report/{id}", body: report, status: 500, answer: /no machine/ },

  // POST /machine/abort-reinstall/{id}: the boot info of the old OS, or null
  ...["primary_disk_wiped", "primarydiskwiped", "primaryDiskWiped"].flatMap((name): Row[] => [
    {
      given: "registered",
      method: "POST",
      path: "/machine/abort-reinstall/{id}",
      body: { [name]: false },
      status: 200,
      answer: { image_id: "os-1" },
    },
    {
      given: "registered",
      method: "POST",
      path: "/machine/abort-reinstall/{id}",
      body: { [name]: true },
      status: 200,
      answer: null,
    },
  ]),
  {
    given: "requested",
    method: "POST",
    path: "/machine/abort-reinstall/{id}",
    body: { primary_disk_wiped: false },
    status: 200,
    answer: { image_id: "os-1" },
  },
  {
    given: "writing",
    method: "POST",
    path: "/machine/abort-reinstall/{id}",
    body: { primary_disk_wiped: false },
    status: 200,
    answer: null,
  },
  {
    given: "aborted",
    method: "POST",
    path: "/machine/abort-reinstall/{id}",
    body: { primary_disk_wiped: false },
    status: 200,
    answer: { image_id: "os-1" },
  },
  {
    given: "reported",
    method: "POST",
    path: "/machine/abort-reinstall/{id}",
    body: { primary_disk_wiped: true },
    status: 200,
    answer: null,
  },
  {
    given: "named",
    method: "POST",
    path: "/machine/abort-reinstall/{id}",
    body: { primary_disk_wiped: false },
    status: 200,
    answer: { image_id: "os-1" },
  },
  {
    given: "named",
    method: "POST",
    path: "/machine/abort-reinstall/{id}",
    body: { primary_disk_wiped: true },
    status: 200,
    answer: null,
  },
  {
    given: "registered",
    method: "POST",
    path: "/machine/abort-reinstall/{id}",
    body: {},
    status: 400,
    answer: /primarydiskwiped/,
  },
  {
    given: "registered",
    method: "POST",
    path: "/machine/abort-reinstall/{id}",
    body: { primary_disk_wiped: "no" },
    status: 400,
    answer: /true or false/,
  },
  {
    given: "unknown",
    method: "POST",
    path: "/machine/abort-reinstall/{id}",
    body: { primary_disk_wiped: false },
    status: 500,
    answer: /^Failed to abort reinstall/,
  },

  // POST /machine/{id}/event
  { ...nothing, path: "/machine/{id}/event", body: { event: "Preparing", message: "v0.5.0" }, status: 200, answer: "" },
  {
    ...nothing,
    path: "/machine/{id}/event",
    body: { event: "Alive", time: "1970-01-01T00:00:01Z" },
    status: 200,
    answer: "",
  },
  {
    ...nothing,
    path: "/machine/{id}/event",
    body: { event: "Reinstall Aborted" },
    status: 500,
    answer: /unknown provisioning event/,
  },
  { ...nothing, path: "/machine/{id}/event", body: { message: "x" }, status: 500, answer: /event/ },
  {
    given: "unknown",
    method: "POST",
    path: "/machine/{id}/event",
    body: { event: "Alive" },
    status: 404,
    answer: /no machine/,
  },
];
