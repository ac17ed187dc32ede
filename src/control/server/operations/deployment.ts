/** What the next network boot of a machine gets: the one truth of it, changed in the transactions of those who decide. */
import { randomUUID } from "node:crypto";
import { LOCAL, RESCUE } from "../../protocol/boot.ts";
import type { WriteScope } from "../database/store.ts";

/** What is deployed. */
export interface NewDeployment {
  readonly configuration: string;
  readonly boots: number | null;
  readonly afterwards: string;
  readonly isByOperator: boolean;
}

export const bootLocal: NewDeployment = { configuration: LOCAL, boots: null, afterwards: LOCAL, isByOperator: false };

/** The rescue configuration where there is one, else the disk. */
export async function rescueDeployment(scope: WriteScope): Promise<NewDeployment> {
  const query = scope.db.selectFrom("boot_configurations").select("name").where("name", "=", RESCUE);
  return (await query.executeTakeFirst()) === undefined ? bootLocal : { ...bootLocal, configuration: RESCUE };
}

/** Switches a machine that the caller has locked. */
export async function setDeployment(scope: WriteScope, machineId: string, to: NewDeployment): Promise<void> {
  const row = {
    id: randomUUID(),
    configuration: to.configuration,
    boots: to.boots,
    afterwards: to.afterwards,
    by_operator: to.isByOperator ? 1 : 0,
    answered_at: null, // the next question is a new boot
    answered_configuration: null,
  };
  await scope.db
    .insertInto("deployments")
    .values({ machine_id: machineId, ...row })
    .onConflict((conflict) => conflict.column("machine_id").doUpdateSet(row))
    .execute();
  scope.changed(machineId);
}
