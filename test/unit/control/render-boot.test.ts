/** Boot configurations as boot loaders read them: what they say, and what cannot break out of a line. */
import { expect, test } from "bun:test";
import type { BootConfiguration } from "../../../src/control/protocol/boot.ts";
import { ASK_FIRST, type BootLoader, ipxeText, renderBoot } from "../../../src/control/server/decisions/render-boot.ts";
import { ReimageError } from "../../../src/errors.ts";

const linux = (change: Partial<Extract<BootConfiguration, { kind: "linux" }>> = {}): BootConfiguration => ({
  name: "installer",
  kind: "linux",
  kernel: "http://10.0.9.1/linux",
  initrd: ["http://10.0.9.1/initrd.gz", "http://10.0.9.1/extra.gz"],
  cmdline: "quiet console=ttyS0",
  ...change,
});
/** What iPXE would replace. */
const SETTING = ["$", "{uuid}"].join("");
const loaders: readonly BootLoader[] = ["pxelinux", "ipxe", "grub"];

function refusal(configuration: BootConfiguration, loader: BootLoader): string | null {
  try {
    renderBoot(configuration, loader);
    return null;
  } catch (error) {
    if (error instanceof ReimageError && error.code === "config") return error.message;
    throw error;
  }
}

test("the disk", () => {
  expect(renderBoot({ name: "local", kind: "local" }, "ipxe")).toBe(
    "#!ipxe\nsanboot --no-describe --drive 0x80 || exit\n",
  );
  expect(renderBoot({ name: "local", kind: "local" }, "pxelinux")).toContain("LOCALBOOT 0");
  expect(renderBoot({ name: "local", kind: "local" }, "grub")).toContain("exit");
});

test("a kernel, for each boot loader", () => {
  expect(renderBoot(linux(), "pxelinux", ASK_FIRST)).toBe(
    "DEFAULT installer\nLABEL installer\n  LINUX http://10.0.9.1/linux\n" +
      "  INITRD http://10.0.9.1/initrd.gz,http://10.0.9.1/extra.gz\n" +
      "  APPEND quiet console=ttyS0 reimage.control.decides=true\n",
  );
  const ipxe = renderBoot(linux(), "ipxe", ASK_FIRST);
  expect(ipxe).toStartWith("#!ipxe\n");
  expect(ipxe).toContain(
    "\nkernel http://10.0.9.1/linux initrd=initrd0 initrd=initrd1 quiet console=ttyS0 reimage.control.decides=true || goto failed\n" +
      "initrd --name initrd0 http://10.0.9.1/initrd.gz || goto failed\n" +
      "initrd --name initrd1 http://10.0.9.1/extra.gz || goto failed\nboot || goto failed\n",
  );
  expect(renderBoot(linux(), "grub", ASK_FIRST)).toBe(
    "linux '(http,10.0.9.1)/linux' 'quiet' 'console=ttyS0' 'reimage.control.decides=true'\n" +
      "initrd '(http,10.0.9.1)/initrd.gz' '(http,10.0.9.1)/extra.gz'\nboot\n",
  );
});

test("nothing but the kernel", () => {
  const bare = linux({ initrd: [], cmdline: "" });
  expect(renderBoot(bare, "pxelinux")).toBe("DEFAULT installer\nLABEL installer\n  LINUX http://10.0.9.1/linux\n");
  expect(renderBoot(bare, "ipxe")).toContain("\nkernel http://10.0.9.1/linux || goto failed\nboot ");
  expect(renderBoot(bare, "grub")).toBe("linux '(http,10.0.9.1)/linux'\nboot\n");
});

test("text is for the boot loader that it is written for", () => {
  const text: BootConfiguration = { name: "own", kind: "text", bootloader: "grub", content: "menuentry {}\n" };
  expect(renderBoot(text, "grub")).toBe("menuentry {}\n");
  expect(refusal(text, "ipxe")).toContain("written for grub");
  expect(refusal(text, "pxelinux")).toContain("written for grub");
});

test("a command line over several lines is one", () => {
  for (const loader of loaders) {
    const whole = renderBoot(linux({ cmdline: "quiet\nLABEL evil\r\n\tKERNEL evil  x" }), loader);
    expect(whole.split("\n").length).toBe(renderBoot(linux(), loader).split("\n").length);
  }
  expect(renderBoot(linux({ cmdline: "a\nb" }), "pxelinux")).toContain("APPEND a b\n");
});

test.each([
  ["ipxe", { cmdline: "a || shell" }],
  ["ipxe", { cmdline: "a && shell" }],
  ["ipxe", { cmdline: "a ; shell" }],
  ["ipxe", { cmdline: "a #b" }],
  ["ipxe", { cmdline: "# b" }],
  ["ipxe", { cmdline: `a ${SETTING} b` }],
  ["ipxe", { kernel: `http://x/${SETTING}` }],
  ["ipxe", { cmdline: "a \\" }],
  ["pxelinux", { initrd: ["a,b"] }],
  ["grub", { cmdline: "a'b" }],
  ["grub", { cmdline: "a\\b" }],
  ["grub", { kernel: "https://x/linux" }],
] as const)("what would mean something else to %s is refused: %j", (loader, change) => {
  expect(refusal(linux(change as object), loader)).toContain(`installer cannot be said to ${loader}`);
});

test("what is no path and no command line is refused by all", () => {
  for (const loader of loaders) {
    for (const change of [
      { kernel: "a b" },
      { kernel: "a\nb" },
      { initrd: ["a\tb"] },
      { cmdline: "a\0b" },
      { cmdline: "a\u2028b" },
    ]) {
      expect(refusal(linux(change), loader)).not.toBeNull();
    }
  }
});

test("what has a meaning to the shell of GRUB arrives as it is", () => {
  const rendered = renderBoot(linux({ cmdline: 'a=$root b;reboot c={x} dyndbg="file a.c +p" #d' }), "grub");
  expect(rendered).toContain("'a=$root' 'b;reboot' 'c={x}' 'dyndbg=file a.c +p' '#d'\n");
});

test("an error on the console of iPXE is words and nothing else", () => {
  expect(ipxeText(`no ${SETTING} || shell ; # x\nreboot \\ é end`)).toBe("no {uuid} shell x reboot end");
  expect(ipxeText("a".repeat(1000))).toHaveLength(500);
});
