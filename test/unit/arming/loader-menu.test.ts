import { expect, test } from "bun:test";
import { menuSeconds, requireNoMenu } from "../../../src/arming/loader-menu.ts";
import { efiVariables, vendors } from "../../../src/firmware/efi-variables.ts";
import { formatLoaderText } from "../../../src/one-shot/loader-variables.ts";
import { temporaryDirectory } from "../../support/loop-device.ts";

test("how long systemd-boot stays in its menu", () => {
  const values = ["0", "menu-hidden", "menu-disabled", "", "5", "menu-force", "-1", "4294967295"];
  expect(values.map(menuSeconds)).toEqual([
    0,
    0,
    0,
    0,
    5,
    Number.POSITIVE_INFINITY,
    Number.POSITIVE_INFINITY,
    2 ** 32 - 1,
  ]);
});

test.each(["LoaderConfigTimeout", "LoaderConfigTimeoutOneShot"])("%s that never ends is refused", async (name) => {
  await using temporary = await temporaryDirectory();
  const variables = efiVariables(temporary.dir);
  await requireNoMenu(variables);
  await variables.write(name, formatLoaderText("10"), { vendor: vendors.loader });
  await requireNoMenu(variables);
  await variables.write(name, formatLoaderText("menu-force"), { vendor: vendors.loader });
  await expect(requireNoMenu(variables)).rejects.toThrow(`${name} is menu-force`);
});
