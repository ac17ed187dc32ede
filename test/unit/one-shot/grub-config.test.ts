import { expect, test } from "bun:test";
import { formatGrubEntry, parseGrubConfig } from "../../../src/one-shot/grub-config.ts";

/** As grub-mkconfig 2.06 of Debian 12 writes it, shortened. */
const debian = `### BEGIN /etc/grub.d/00_header ###
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "\${next_entry}" ] ; then
   set default="\${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="0"
fi
### END /etc/grub.d/00_header ###
menuentry 'Debian GNU/Linux' --class debian {
  linux /boot/vmlinuz root=UUID=1 ro quiet
}
### BEGIN /etc/grub.d/41_custom ###
if [ -f  \${config_directory}/custom.cfg ]; then
  source \${config_directory}/custom.cfg
elif [ -z "\${config_directory}" -a -f  $prefix/custom.cfg ]; then
  source $prefix/custom.cfg
fi
### END /etc/grub.d/41_custom ###
`;

/** As RHEL 9 writes it, shortened. */
const redHat = debian
  .replace('set default="0"', `set default="\${saved_entry}"`)
  .replace(/menuentry[\s\S]*?\n}\n/, "insmod blscfg\nblscfg\n");

test("the configurations of distributions are understood", () => {
  const common = { clearsNextEntry: true, sourcesCustom: true };
  expect(parseGrubConfig(debian)).toEqual({ ...common, otherDefault: "0", usesBls: false });
  expect(parseGrubConfig(redHat)).toEqual({ ...common, otherDefault: `\${saved_entry}`, usesBls: true });
});

test("cmostest before it, as GRUB_BUTTON_CMOS_ADDRESS asks for, changes nothing", () => {
  const button = debian.replace(
    `if [ "\${next_entry}" ] ; then`,
    `if cmostest 84:2 ; then\n   set default="1"\nelif [ "\${next_entry}" ] ; then`,
  );
  expect(button).not.toBe(debian);
  expect(parseGrubConfig(button)).toMatchObject({ clearsNextEntry: true, otherDefault: "0" });
});

test.each([
  ["does not forget", "   set next_entry=\n", { clearsNextEntry: false }, ""],
  ["does not save", "   save_env next_entry\n", { clearsNextEntry: false }, ""],
  ["has no other default", '   set default="0"\n', { otherDefault: null }, ""],
  ["comments it away", "   set next_entry=\n", { clearsNextEntry: false }, "   # set next_entry=\n"],
])("one that %s is noticed", (_, line, expected, replacement) => {
  expect(debian).toContain(line);
  expect(parseGrubConfig(debian.replace(line, replacement))).toMatchObject(expected);
});

test("saving before forgetting saves the wrong thing", () => {
  const swapped = debian.replace(
    "   set next_entry=\n   save_env next_entry\n",
    "   save_env next_entry\n   set next_entry=\n",
  );
  expect(parseGrubConfig(swapped).clearsNextEntry).toBe(false);
});

test("custom.cfg in a comment, and other files, do not count", () => {
  const without = debian.replace(
    / {2}source .*\n/g,
    "  # source /boot/grub/custom.cfg\n  source /boot/grub/mycustom.cfg\n",
  );
  expect(parseGrubConfig(without).sourcesCustom).toBe(false);
});

test("anything at all can be read", () => {
  for (const text of ["", "\0", "else", `set default="\${next_entry}"`, "blscfg"]) {
    expect(parseGrubConfig(text).clearsNextEntry).toBe(false);
  }
});

test("GRUB's own parser accepts the entry", () => {
  const lines = formatGrubEntry({
    id: "reimage",
    fileSystemUuid: "0b7a",
    kernel: "/reimage/vmlinuz",
    initramfs: "/reimage/initramfs.img",
    commandLine: "quiet reimage.image.source=http://10.0.2.2/a;b|c&d panic=30",
    otherDefault: "0",
  });
  const check = Bun.spawnSync(["grub-script-check"], { stdin: Buffer.from(`${lines.join("\n")}\n`) });
  expect(check.stderr.toString()).toBe("");
  expect(check.exitCode).toBe(0);
  // What means something to GRUB's script arrives at the kernel as it is.
  expect(lines.find((line) => line.includes("if linux"))).toContain("'reimage.image.source=http://10.0.2.2/a;b|c&d'");
});
