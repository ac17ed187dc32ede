/** What Luna's nodes ask, taken apart. */
import { expect, test } from "bun:test";
import { macsOfHwdata, parseStatusWord } from "../../../src/control/server/facades/luna/query.ts";
import { installScript, nodeArguments } from "../../../src/control/server/facades/luna/scripts.ts";

test("MACs among what firmware tells", () => {
  const hwdata =
    "Not Specified|52:54:00:AA:00:01|52-54-00-aa-00-02||00:00:00:00:00:00|ff:ff:ff:ff:ff:ff|52:54:00:aa:00:01 |123456789012|x";
  expect(macsOfHwdata(hwdata)).toEqual(["52:54:00:aa:00:01", "52:54:00:aa:00:02"]);
  expect(macsOfHwdata("")).toEqual([]);
  expect(macsOfHwdata(`${"|".repeat(100_000)}52:54:00:aa:00:01`)).toEqual([]);
});

test("status words", () => {
  for (const word of ["install.success", "boot.mac_assigned", "a b-C_9.", "x".repeat(128)])
    expect(parseStatusWord(word)).toBe(word);
  for (const word of ["", "a\nb", "a/b", "a'b", "ä", "x".repeat(129)])
    expect(() => parseStatusWord(word)).toThrow("status word");
});

test("the arguments of a node respect a root of the configuration", () => {
  expect(nodeArguments("n1", null, "http://x/luna", "root=/dev/sda1")).not.toContain("root=luna");
  expect(nodeArguments("n1", null, "http://x/luna", "notroot=/dev/sda1")).toStartWith(
    "root=luna luna.bootproto=dhcp luna.url=",
  );
});

test("the install script is a script of POSIX", async () => {
  const shell = Bun.spawn(["/bin/sh", "-n"], {
    stdin: Buffer.from(installScript("node001", "http://x:1/luna")),
    stderr: "pipe",
  });
  expect(await new Response(shell.stderr).text()).toBe("");
  expect(await shell.exited).toBe(0);
});
