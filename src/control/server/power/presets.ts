/** Adapters that need not be written: what an operator names in place of a template. */
import type { PowerAdapter } from "./adapter.ts";

/**
 * ipmitool (ipmitool(1)) over IPMI 2.0. It asks again after 2 s, twice. The password goes by the environment (-E), never by
 * an argument. `bootdev` without `persistent` holds for one boot; `bootOptions: efiboot` makes that a UEFI boot.
 * @param cipherSuite null: the best that the BMC lists. Some list none, and then cost 5 s a command, or list what they
 * cannot do.
 */
function ipmitool(name: string, cipherSuite: "3" | "17" | null): PowerAdapter {
  const suite = cipherSuite === null ? [] : ["-C", cipherSuite];
  const session = ["-I", "lanplus", "-H", "{{address}}", "-p", "{{port}}", "-U", "{{user}}", "-E", ...suite];
  const chassis = (...args: string[]) => ["ipmitool", ...session, "-N", "2", "-R", "2", "chassis", ...args];
  return {
    name,
    commands: {
      on: chassis("power", "on"),
      off: chassis("power", "off"),
      reset: chassis("power", "reset"),
      status: chassis("power", "status"),
      "next-boot-network": chassis("bootdev", "pxe", "options={{bootOptions}}"),
      "next-boot-disk": chassis("bootdev", "disk", "options={{bootOptions}}"),
    },
    statusOn: "^Chassis Power is on$",
    statusOff: "^Chassis Power is off$",
    // bootdev ends with status 0 where the BMC refuses it (ipmitool 1.8.19).
    expected: {
      "next-boot-network": "^Set Boot Device to pxe$",
      "next-boot-disk": "^Set Boot Device to disk$",
    },
    timeoutSeconds: 60, // slow BMCs take half a minute to answer everything that a session needs
    retries: 1,
    env: { IPMI_PASSWORD: "{{password}}" },
    defaults: { port: "623", bootOptions: "" },
  };
}

export const powerPresets = {
  ipmitool: ipmitool("ipmitool", null),
  /** HMAC-SHA1: older BMCs. */
  "ipmitool-cipher-3": ipmitool("ipmitool-cipher-3", "3"),
  /** HMAC-SHA256: what newer BMCs may insist on. */
  "ipmitool-cipher-17": ipmitool("ipmitool-cipher-17", "17"),
} as const;
