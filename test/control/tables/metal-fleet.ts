/** metal-api: machines listed, found, given back, switched, locked: requests and their answers. */
import type { Row } from "./metal-row.ts";

const post = { method: "POST" } as const;
const get = { method: "GET" } as const;
const power = (action: string) => ({ ...post, path: `/v1/machine/{id}/power/${action}`, body: {} }) as const;

export const metalFleet: readonly Row[] = [
  // GET /v1/machine, /v1/machine/{id}; POST find
  { given: "named", ...get, path: "/v1/machine", status: 200, answer: [{ id: "{id}", liveliness: "Unknown" }] },
  {
    given: "named",
    ...get,
    path: "/v1/machine/{id}",
    status: 200,
    answer: { id: "{id}", allocation: { image: { id: "os-1" }, reinstall: false, console_password: "" } },
  },
  { given: "unknown", ...get, path: "/v1/machine/{id}", status: 404, answer: /no machine/ },
  { given: "named", ...post, path: "/v1/machine/find", body: { id: "{ID}" }, status: 200, answer: [{ id: "{id}" }] },
  { given: "named", ...post, path: "/v1/machine/find", body: { id: "{other}" }, status: 200, answer: [] },
  {
    given: "named",
    ...post,
    path: "/v1/machine/find",
    body: { nics_mac_addresses: ["{MAC}"], allocation_image_id: "os-1" },
    status: 200,
    answer: [{ id: "{id}" }],
  },
  {
    given: "named",
    ...post,
    path: "/v1/machine/find",
    body: { nics_mac_addresses: ["52:54:00:00:00:01"] },
    status: 200,
    answer: [],
  },
  { given: "freed", ...post, path: "/v1/machine/find", body: { allocation_image_id: "os-1" }, status: 200, answer: [] },
  {
    given: "discovered",
    ...post,
    path: "/v1/machine/find",
    body: { tags: ["fast"], partition_id: "north", rackid: "rack-7" },
    status: 200,
    answer: [{ id: "{id}" }],
  },
  { given: "named", ...post, path: "/v1/machine/find", body: { size_id: "c1" }, status: 422, answer: /sizeid/ },

  // DELETE /v1/machine/{id}/free
  {
    given: "named",
    method: "DELETE",
    path: "/v1/machine/{id}/free",
    status: 200,
    answer: { allocation: null, events: { log: [{ event: "Machine Reclaim" }] } },
  },
  { given: "requested", method: "DELETE", path: "/v1/machine/{id}/free", status: 200, answer: { allocation: null } },
  { given: "writing", method: "DELETE", path: "/v1/machine/{id}/free", status: 409, answer: /cannot be cancelled/ },
  { given: "locked", method: "DELETE", path: "/v1/machine/{id}/free", status: 422, answer: /locked/ },
  { given: "unknown", method: "DELETE", path: "/v1/machine/{id}/free", status: 404, answer: /no machine/ },

  // POST /v1/machine/{id}/power/…
  ...["on", "disk", "pxe"].map(
    (action): Row => ({
      given: "with power",
      ...power(action),
      status: 200,
      answer: { id: "{id}", events: { log: [] } },
    }),
  ),
  ...["off", "reset", "cycle"].map(
    (action): Row => ({
      given: "with power",
      ...power(action),
      status: 200,
      answer: { events: { log: [{ event: "Planned Reboot" }] } },
    }),
  ),
  ...["bios", "chassis-identify-led-on", "chassis-identify-led-on/here", "chassis-identify-led-off/done"].map(
    (action): Row => ({ given: "with power", ...power(action), status: 422, answer: /nothing was switched/ }),
  ),
  { given: "with power", ...power("explode"), status: 422, answer: /no power action/ },
  { given: "with power", ...power("constructor"), status: 422, answer: /no power action/ },
  { given: "named", ...power("on"), status: 422, answer: /has no power adapter/ },
  { given: "named", ...power("reset"), status: 422, answer: /has no power adapter/ },
  { given: "adapter missing", ...power("on"), status: 422, answer: /not configured/ },
  { given: "unknown", ...power("on"), status: 404, answer: /no machine/ },

  // POST /v1/machine/{id}/state
  {
    given: "named",
    ...post,
    path: "/v1/machine/{id}/state",
    body: { value: "LOCKED", description: "audit" },
    status: 200,
    answer: { state: { value: "LOCKED", description: "audit" } },
  },
  {
    given: "named",
    ...post,
    path: "/v1/machine/{id}/state",
    body: { value: "RESERVED", description: "for anna" },
    status: 200,
    answer: { state: { value: "RESERVED" } },
  },
  {
    given: "locked",
    ...post,
    path: "/v1/machine/{id}/state",
    body: { value: "" },
    status: 200,
    answer: { state: { value: "" } },
  },
  {
    given: "named",
    ...post,
    path: "/v1/machine/{id}/state",
    body: { value: "LOCKED" },
    status: 422,
    answer: /you must supply a description/,
  },
  {
    given: "named",
    ...post,
    path: "/v1/machine/{id}/state",
    body: { value: "BROKEN", description: "x" },
    status: 422,
    answer: /value/,
  },
  { given: "unknown", ...post, path: "/v1/machine/{id}/state", body: { value: "" }, status: 404, answer: /no machine/ },

  // IPMI: never a password
  {
    given: "discovered",
    ...get,
    path: "/v1/machine/{id}/ipmi",
    status: 200,
    answer: { id: "{id}", ipmi: { address: "10.0.0.7", user: "metal", interface: "lanplus", password: "" } },
  },
  {
    given: "named",
    ...get,
    path: "/v1/machine/{id}/ipmi",
    status: 200,
    answer: { ipmi: { address: "", password: "" } },
  },
  { given: "unknown", ...get, path: "/v1/machine/{id}/ipmi", status: 404, answer: /no machine/ },
  {
    given: "named",
    ...post,
    path: "/v1/machine/ipmi",
    body: { partitionid: "north", leases: { "{ID}": "10.0.0.8", "{other}": "10.0.0.9" } },
    status: 200,
    answer: { updated: ["{id}"], created: [] },
  },
  { given: "named", ...post, path: "/v1/machine/ipmi", body: {}, status: 422, answer: /leases/ },
];
