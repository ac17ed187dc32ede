/** What a machine gets that boots from the network, and what that leaves for the next time (pure). */
import { LOCAL, REINSTALL } from "../../protocol/boot.ts";

/** What is deployed for a machine. */
export interface DeploymentFacts {
  readonly configuration: string;
  /** How many network boots it is for; null: for all. */
  readonly boots: number | null;
  readonly afterwards: string;
  readonly isByOperator: boolean;
  readonly answeredAtMs: number | null;
  readonly answeredConfiguration: string | null;
}

/** Firmware and boot loaders ask more than once for one boot. */
const SAME_BOOT_MILLISECONDS = 20_000;

export interface NetbootDecision {
  readonly configuration: string;
  /** What is deployed from now on; null: as before. */
  readonly next: DeploymentFacts | null;
}

/**
 * @param deployment null: nothing was ever deployed.
 * @param isReinstallOpen whether the machine is marked. Without a mark nobody gets the reimager, unless an operator has
 * deployed it himself.
 */
export function decideNetboot(
  deployment: DeploymentFacts | null,
  isReinstallOpen: boolean,
  nowMs: number,
): NetbootDecision {
  if (deployment === null) return { configuration: LOCAL, next: null };
  const { answeredAtMs, answeredConfiguration } = deployment;
  const isSameBoot = answeredAtMs !== null && nowMs >= answeredAtMs && nowMs - answeredAtMs < SAME_BOOT_MILLISECONDS;
  if (isSameBoot && answeredConfiguration !== null) {
    return { configuration: answeredConfiguration, next: null };
  }
  const { configuration, boots, afterwards, isByOperator } = deployment;
  if (configuration === REINSTALL && !isReinstallOpen && !isByOperator) {
    return { configuration: LOCAL, next: null };
  }
  const answered = { answeredAtMs: nowMs, answeredConfiguration: configuration };
  if (boots === null) return { configuration, next: { ...deployment, ...answered } };
  if (boots > 1) return { configuration, next: { ...deployment, boots: boots - 1, ...answered } };
  const next = { configuration: afterwards, boots: null, afterwards: LOCAL, isByOperator: false, ...answered };
  return { configuration, next };
}
