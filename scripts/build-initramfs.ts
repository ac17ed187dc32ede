/**
 * Builds build/vmlinuz and build/initramfs.img from build/reimage, the tools and modules listed in initramfs/, and a
 * kernel (see fetch-kernel.ts). Needs no root; the same input gives the same bytes.
 */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { $ } from "zx";
import { archiveOrder } from "../initramfs/archive-order.ts";
import { moduleGroups } from "../initramfs/modules.ts";
import { parseModulesDep, selectModules } from "../initramfs/select-modules.ts";
import { tools } from "../initramfs/tools.ts";
import { aliasesOfBuiltIn, aliasesOfModules, formatDriverList, isOfDiskBus } from "../src/arming/driver-list.ts";
import { fetchKernel, type KernelFiles } from "./fetch-kernel.ts";

/** A kiosk's /boot or an EFI system partition must hold it, and a slow network must carry it. */
const BUDGET_BYTES = 80_000_000;

const build = "build";
const tree = join(build, "initramfs");
const environment = { ...process.env, LC_ALL: "C", PATH: `${process.env.PATH}:/usr/local/sbin:/usr/sbin:/sbin` };
const quiet = $({ quiet: true, env: environment });

function makeFolders(): void {
  rmSync(tree, { recursive: true, force: true });
  for (const folder of ["usr/bin", "usr/lib", "usr/lib64", "etc/reimage", "proc", "sys", "dev", "run", "tmp", "root"]) {
    mkdirSync(join(tree, folder), { recursive: true });
  }
  for (const [link, folder] of [
    ["bin", "usr/bin"],
    ["sbin", "usr/bin"],
    ["lib", "usr/lib"],
    ["lib64", "usr/lib64"],
    ["usr/sbin", "bin"],
  ] as const) {
    symlinkSync(folder, join(tree, link));
  }
}

/** Libraries that a program loads by name while it runs, so that ldd does not show them. */
const librariesByName = [
  "libgcc_s.so.1", // glibc loads it when a thread ends: lbzip2, xz, zstd
];

/**
 * Copies a program, and the libraries it is linked with to the same paths as here (the loader has them built in).
 * @returns these, below the root of the initramfs.
 */
async function packProgram(path: string, name: string): Promise<string[]> {
  const real = realpathSync(path);
  if (!readFileSync(real).subarray(0, 4).equals(Buffer.from("\x7fELF", "latin1"))) {
    throw new Error(`${real} is a script: its interpreter would be missing in the initramfs`);
  }
  copyFileSync(real, join(tree, "usr/bin", name));
  chmodSync(join(tree, "usr/bin", name), 0o755);
  const linked = await quiet({ nothrow: true })`ldd ${real}`;
  if (linked.exitCode !== 0 && !/not a dynamic executable/.test(linked.stderr)) throw new Error(linked.stderr);
  return linked.stdout.split("\n").flatMap((line) => {
    if (line.includes("not found")) throw new Error(`${path} lacks a library: ${line.trim()}`);
    const library = /(\/\S+) \(0x/.exec(line)?.[1];
    return library === undefined ? [] : [packLibrary(library)];
  });
}

function packLibrary(library: string): string {
  const inTree = (library.startsWith("/usr/") ? library : `/usr${library}`).slice(1);
  const destination = join(tree, inTree);
  mkdirSync(dirname(destination), { recursive: true });
  copyFileSync(realpathSync(library), destination);
  chmodSync(destination, 0o755);
  return inTree;
}

/** @returns the libraries of modprobe. */
async function packPrograms(): Promise<string[]> {
  const paths = new Map<string, string>();
  for (const tool of tools) {
    const found = await quiet({ nothrow: true })`which ${tool.name}`;
    if (found.exitCode !== 0) {
      throw new Error(`${tool.name} (Debian package ${tool.package}) is not installed: run 'make packages'`);
    }
    paths.set(tool.name, found.stdout.trim());
  }
  await packProgram(join(build, "reimage"), "reimage");
  const libraries = new Map<string, string[]>();
  for (const [name, path] of paths) libraries.set(name, await packProgram(path, name));
  const known = (await quiet`ldconfig -p`).stdout;
  for (const library of librariesByName) {
    const path = new RegExp(`${library} \\(libc6,x86-64\\) => (\\S+)`).exec(known)?.[1];
    if (path === undefined) throw new Error(`${library} is not installed`);
    packLibrary(path);
  }
  const listed = (await quiet`${join(tree, "usr/bin/busybox")} --list`).stdout.split("\n").filter(Boolean);
  // The kernel starts any init that it finds where /init fails; busybox's would offer a shell on a hardened machine.
  const applets = listed.filter((name) => !["init", "linuxrc"].includes(name));
  for (const applet of applets) {
    if (!existsSync(join(tree, "usr/bin", applet))) symlinkSync("busybox", join(tree, "usr/bin", applet));
  }
  return libraries.get("modprobe") ?? [];
}

/** Packs the modules, compressed one by one: unpacked, they are a third of the size in the machine's RAM. */
async function packModules(kernel: KernelFiles): Promise<void> {
  const packed = join(tree, "usr/lib/modules", kernel.version);
  const builtin = readFileSync(join(kernel.modules, "modules.builtin"), "utf8").split("\n").filter(Boolean);
  const patterns = moduleGroups.flatMap((group) => group.patterns);
  const selection = selectModules(
    parseModulesDep(readFileSync(join(kernel.modules, "modules.dep"), "utf8")),
    patterns,
    builtin,
  );
  for (const pattern of selection.unmatched) console.log(`this kernel has no module ${pattern}`);
  for (const path of selection.modules) {
    mkdirSync(join(packed, dirname(path)), { recursive: true });
    copyFileSync(join(kernel.modules, path), join(packed, path));
    chmodSync(join(packed, path), 0o644);
  }
  const plain = selection.modules.filter((path) => path.endsWith(".ko")).map((path) => join(packed, path));
  if (plain.length > 0) await quiet`zstd -q -15 --rm ${plain}`;
  for (const name of ["modules.order", "modules.builtin", "modules.builtin.modinfo"]) {
    if (existsSync(join(kernel.modules, name))) copyFileSync(join(kernel.modules, name), join(packed, name));
  }
  await quiet`depmod -b ${tree} ${kernel.version}`;
  writeDriverList(kernel, selection.modules);
  // Only the binary indexes are read by modprobe; the text forms repeat them, except for what has no binary form.
  for (const name of readdirSync(packed)) {
    const isUnused =
      existsSync(join(packed, `${name}.bin`)) || /^modules\.(order|symbols.*|builtin\.modinfo)$/.test(name);
    if (isUnused) rmSync(join(packed, name));
  }
}

/** What `reimage arm` judges an initramfs by: the devices that its drivers, and the kernel's own, are for. */
function writeDriverList({ modules, version }: KernelFiles, packed: readonly string[]): void {
  const nameOf = (path: string) =>
    basename(path)
      .replace(/\.ko.*$/, "")
      .replaceAll("-", "_");
  const network = new Set(packed.filter((path) => path.startsWith("kernel/drivers/net/")).map(nameOf));
  const aliases = readFileSync(join(tree, "usr/lib/modules", version, "modules.alias"), "utf8");
  const builtIn = join(modules, "modules.builtin.modinfo"); // kernels before 5.2 have none
  const patterns = [
    ...aliasesOfModules(aliases, (module) => !network.has(module)),
    ...(existsSync(builtIn) ? aliasesOfBuiltIn(readFileSync(builtIn, "latin1")) : []),
  ];
  const text = formatDriverList({ kernel: version, patterns: patterns.filter(isOfDiskBus) });
  writeFileSync(join(tree, "drivers"), text, { mode: 0o644 });
}

function packFiles(): void {
  for (const name of ["init", "give-back"]) {
    copyFileSync(join("initramfs", name), join(tree, name));
    chmodSync(join(tree, name), 0o755);
  }
  copyFileSync("initramfs/dhcp-event", join(tree, "usr/bin/dhcp-event"));
  chmodSync(join(tree, "usr/bin/dhcp-event"), 0o755);
  mkdirSync(join(tree, "etc/udhcpc")); // what udhcpc runs when a technician starts it by hand
  symlinkSync("/usr/bin/dhcp-event", join(tree, "etc/udhcpc/default.script"));
  const files = {
    "zz-complete": "", // sorts last; initramfs/init looks for it
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/profile": `# In busybox's shell its own applets come before the programs of the same name.
alias reboot='reboot -f' poweroff='poweroff -f'
alias ${tools.map(({ name }) => `${name}=/usr/bin/${name}`).join(" ")}
PS1='reimage:$PWD# '
`,
    // There is no udev: lvm makes its device nodes itself.
    "etc/lvm/lvm.conf":
      'activation { udev_sync = 0 udev_rules = 0 monitoring = 0 }\ndevices { obtain_device_list_from_udev = 0 external_device_info_source = "none" }\nbackup { backup = 0 archive = 0 }\n',
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), text, { mode: 0o644 });
  }
}

/**
 * Writes the archive: in an order of its own, owned by root, without times, so that it depends on the content alone.
 * @param libraries of what is needed first.
 */
async function pack(image: string, libraries: readonly string[]): Promise<void> {
  // No --ultra: its larger window would be allocated by the kernel on top of the archive, on a machine with 512 MB.
  const level = process.env.RELEASE === "1" ? ["-19"] : ["-10"];
  const here = $({ cwd: tree, env: environment, quiet: true });
  await here`find . -type d -exec chmod 755 {} +`;
  await here`find . -exec touch -h -d @0 {} +`;
  const found = (await here`find . -mindepth 1 -printf '%y %P\n'`).stdout.trimEnd().split("\n");
  const entries = found.map((line) => ({ path: line.slice(2), isFolder: line.startsWith("d ") }));
  const input = archiveOrder(entries, libraries).join("\n");
  await here({
    input,
  })`cpio --quiet -o -H newc -R 0:0 --reproducible | zstd -q -f -T0 ${level} -o ../${basename(image)}`;
  // The kernel looks for a further, appended archive at a multiple of four bytes; zeros in between are skipped.
  const alignment = 512;
  truncateSync(image, Math.ceil(statSync(image).size / alignment) * alignment);
}

const kernel = await fetchKernel(join(build, "kernel"));
makeFolders();
const libraries = await packPrograms();
await packModules(kernel);
packFiles();
const image = join(build, "initramfs.img");
await pack(`${image}.new`, libraries);
const sizeBytes = statSync(`${image}.new`).size;
if (sizeBytes > BUDGET_BYTES) {
  throw new Error(`the initramfs has ${sizeBytes} bytes, over the budget of ${BUDGET_BYTES}: see initramfs/modules.ts`);
}
await $`mv ${image}.new ${image}`;
copyFileSync(kernel.image, join(build, "vmlinuz"));
const unpackedBytes = Number((await quiet`du -sb ${tree}`).stdout.split("\t")[0]);
const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);
console.log(`${image}: ${mb(sizeBytes)} MB (${mb(unpackedBytes)} MB unpacked), kernel ${kernel.version}`);
