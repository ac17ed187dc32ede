/** Choices that the schema knows but that not every build or machine can do. */
import { ReimageError } from "../errors.ts";
import type { Config } from "./schema.ts";

/** What the caller can do. */
export interface Capabilities {
  readonly kexec: boolean;
}

/**
 * Refuses, before anything is touched, a configuration that could not be carried out to its end.
 * @throws ReimageError code `config`
 */
export function refuseUnsupported(config: Config, can: Capabilities): void {
  if (config.onSuccess === "kexec" && !can.kexec) {
    throw new ReimageError("config", "onSuccess: kexec is not possible here", {
      hint: "set onSuccess to reboot or poweroff",
    });
  }
}
