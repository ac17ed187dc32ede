/** Machines as this protocol's answers tell of them (pure). */
import type { WireBootInfo } from "../../../protocol/machine.ts";
import { livelinessOf, type Provisioning, type ProvisioningEntry } from "../../decisions/provisioning.ts";
import { bootInfoOf, type MetalMachine } from "./read.ts";

export type Json = Readonly<Record<string, unknown>>;

/** GET and POST event answer with this. */
export function viewEvents(provisioning: Provisioning, log: readonly ProvisioningEntry[]): Json {
  const { lastEventAtMs, lastError, crashLoop, incompleteCycles, failedReclaim } = provisioning;
  return {
    log: log.map(viewEvent),
    last_event_time: lastEventAtMs === null ? null : time(lastEventAtMs),
    last_error_event: lastError === null ? null : viewEvent(lastError),
    crash_loop: crashLoop,
    failed_machine_reclaim: failedReclaim,
    incomplete_provisioning_cycles: String(incompleteCycles),
  };
}

function viewEvent({ event, message, timeMs }: ProvisioningEntry): Json {
  return { event, message, time: time(timeMs) };
}

/** In the spelling of the machines' answers, and of an abort's. */
export function viewBootInfo(bootInfo: WireBootInfo | null): Json | null {
  if (bootInfo === null) return null;
  const { image_id, primary_disk, os_partition, initrd, cmdline, kernel, bootloaderid } = bootInfo;
  return { image_id, primary_disk, os_partition, initrd, cmdline, kernel, bootloaderid };
}

/** @param log its events; a list of machines leaves them out. */
export function viewMachine(machine: MetalMachine, log: readonly ProvisioningEntry[], nowMs: number): Json {
  const { row, metal, provisioning, macs } = machine;
  return {
    id: row.id,
    name: row.name ?? "",
    description: "",
    created: time(Number(row.created_at)),
    tags: metal.tags,
    partition: metal.partitionId === "" ? null : { id: metal.partitionId },
    rackid: metal.rackId,
    hardware: metal.hardware ?? { cpu_cores: 0, memory: 0, disks: [], nics: macs.map((mac) => ({ mac, name: "" })) },
    bios: metal.bios ?? { version: "", vendor: "", date: "" },
    ledstate: { value: "", description: "" },
    liveliness: livelinessOf(provisioning.lastEventAtMs, machine.isAllocated, nowMs),
    state: { value: row.locked === 1 ? "LOCKED" : metal.stateValue, description: metal.stateDescription },
    events: viewEvents(provisioning, log),
    allocation: machine.isAllocated ? viewAllocation(machine) : null,
  };
}

function viewAllocation(machine: MetalMachine): Json {
  const { row, metal, image, open } = machine;
  const name = metal.allocationName === "" ? (row.name ?? "") : metal.allocationName;
  return {
    created: time(open?.createdAtMs ?? Number(row.created_at)),
    name,
    description: metal.allocationDescription,
    project: "",
    image: image === null ? null : { id: image.id, url: image.url ?? "", description: image.description },
    networks: [],
    hostname: name,
    ssh_pub_keys: [],
    user_data: "",
    console_password: "", // never kept
    succeeded: open === null && row.image_id !== null,
    reinstall: open !== null,
    boot_info: viewBootInfo(bootInfoOf(machine)),
  };
}

/** A time that a machine may have told; whatever no calendar holds is the beginning of all clocks. */
function time(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? new Date(0).toISOString() : date.toISOString();
}
