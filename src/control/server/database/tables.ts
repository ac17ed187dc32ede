/**
 * The tables, alike in SQLite and PostgreSQL: text, integers and JSON as text. Times are milliseconds since the epoch by
 * the endpoint's clock; truth values are 0 and 1.
 */
import type { Generated, Selectable } from "kysely";
import type { TargetState } from "../../../report/events.ts";
import type { ReinstallState } from "../../protocol/machine.ts";

export interface Tables {
  machines: {
    id: string;
    name: string | null;
    serial: string | null;
    state: "declared" | "discovered" | "approved";
    locked: number;
    image_id: string | null;
    /** JSON: WireBootInfo. */
    boot_info: string | null;
    /** JSON, as the machine told it. */
    hardware: string | null;
    /** JSON: { adapter, variables }. Never leaves the endpoint: it holds the BMC's password. */
    power: string | null;
    address: string | null;
    last_run_id: string | null;
    /** JSON: what only the compatible facades know of a machine. */
    facade: string | null;
    created_at: number;
  };
  /** Apart from machines, since it changes with every request. */
  presence: { machine_id: string; seen_at: number };
  macs: { mac: string; machine_id: string; position: number };
  tokens: {
    id: string;
    kind: "admin" | "machine" | "session";
    name: string;
    role: "viewer" | "operator" | "admin" | null;
    machine_id: string | null;
    secret_sha256: string;
    state: "active" | "pending";
    created_at: number;
    expires_at: number | null;
  };
  enrolment_codes: {
    code_sha256: string;
    machine_id: string | null;
    created_by: string;
    created_at: number;
    expires_at: number;
    used_at: number | null;
    used_by: string | null;
  };
  images: { id: string; url: string | null; sha256: string | null; readback: string | null; description: string };
  /** `body` is JSON: BootConfiguration. */
  boot_configurations: { name: string; body: string };
  /** What the next network boot of a machine gets; no row: local. */
  deployments: {
    machine_id: string;
    /** Another one whenever something is deployed: tells one deployment of a configuration from the next of the same. */
    id: string;
    configuration: string;
    /** How many network boots it is for; null: for all. */
    boots: number | null;
    afterwards: string;
    by_operator: number;
    /** The last answer, so that a question that is asked again at once is not counted twice. */
    answered_at: number | null;
    answered_configuration: string | null;
  };
  reinstalls: {
    id: string;
    machine_id: string;
    image_id: string;
    state: ReinstallState;
    target: TargetState;
    attempt: number;
    most_attempts: number;
    next_attempt_at: number | null;
    run_id: string | null;
    previous_image_id: string | null;
    previous_boot_info: string | null;
    reason: string | null;
    requested_by: string;
    idempotency_key: string | null;
    power_job_id: string | null;
    created_at: number;
    ended_at: number | null;
  };
  runs: {
    id: string;
    machine_id: string;
    reinstall_id: string | null;
    attempt: number | null;
    started_at: number;
    ended_at: number | null;
    stage: string | null;
    what: string | null;
    done_bytes: number | null;
    total_bytes: number | null;
    target: TargetState;
    outcome: "success" | "failed" | null;
    verdict: "verified" | "unverified" | "recorded" | null;
    reason: string | null;
    image_id: string | null;
    last_seq: number;
    /** JSON, as the machine sent it. */
    report: string | null;
    /** JSON: what the machine was answered to its abort, so that it is answered the same again. */
    abort_answer: string | null;
  };
  /** `body` is JSON: the event as it was sent. */
  events: { run_id: string; seq: number; machine_id: string; received_at: number; body: string };
  /** The events of the compatible facades. */
  provisioning_events: {
    id: Generated<number>;
    machine_id: string;
    event: string;
    message: string;
    time: number;
    received_at: number;
  };
  audit: {
    id: Generated<number>;
    at: number;
    actor: string;
    address: string | null;
    action: string;
    object: string;
    detail: string;
  };
  power_jobs: {
    id: string;
    machine_id: string;
    action: string;
    state: "queued" | "done" | "failed";
    power: "on" | "off" | "unknown" | null;
    message: string | null;
    created_at: number;
    ended_at: number | null;
  };
}

export type MachineRow = Selectable<Tables["machines"]>;
export type ReinstallRow = Selectable<Tables["reinstalls"]>;
export type RunRow = Selectable<Tables["runs"]>;
export type DeploymentRow = Selectable<Tables["deployments"]>;
export type TokenRow = Selectable<Tables["tokens"]>;
