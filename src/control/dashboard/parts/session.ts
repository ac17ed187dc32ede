/** Who is logged in. */
import type { Role } from "../../protocol/enrolment.ts";

export interface Session {
  readonly name: string;
  readonly role: Role;
}
