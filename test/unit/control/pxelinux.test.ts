/** Real directories and links, without a TFTP server. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import {
  chmod,
  mkdir,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { planDeployments } from "../../../src/control/server/pxelinux/apply.ts";
import { switchLinks } from "../../../src/control/server/pxelinux/links.ts";
import { ReimageError } from "../../../src/errors.ts";
import { configurationText, makeTftpRoot, until } from "../../support/pxelinux.ts";

const A = "23:34:a3:e9:09:cc";
const B = "23:34:a3:e9:09:cd";
const C = "23:34:a3:e9:09:ce";
const [linkA, linkB, linkC] = [A, B, C].map((mac) => `01-${mac.replaceAll(":", "-")}`) as [string, string, string];

const lasting = (macs: readonly string[], configuration: string | null) => ({ macs, configuration, bootId: null });
const once = (macs: readonly string[], configuration: string, bootId: string) => ({ macs, configuration, bootId });

async function refusal(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt;
  } catch (error) {
    if (error instanceof ReimageError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return "not refused";
}

test("the layout of PXE Pilot: the first MAC leads to the configuration, further ones to its link", async () => {
  await using tftp = await makeTftpRoot();
  await using pxe = await tftp.open();
  await pxe.apply([
    lasting([A.toUpperCase(), B.replaceAll(":", "-")], "install"),
    lasting(["2334.a3e9.09ce"], "local"),
  ]);
  const expected = { [linkA]: "conf/install", [linkB]: linkA, [linkC]: "conf/local", conf: "(no link)" };
  expect(await tftp.listing()).toEqual(expected);
  expect((await pxe.read()).map(({ mac, boots }) => [mac, boots])).toEqual([
    [A, { kind: "configuration", configuration: "install" }],
    [B, { kind: "configuration", configuration: "install" }],
    [C, { kind: "configuration", configuration: "local" }],
  ]);
  for (const link of [linkA, linkB]) {
    expect(await readFile(join(tftp.links, link), "utf8")).toBe(configurationText("install"));
  }
  const before = await stat(tftp.links);
  await pxe.apply([lasting([A, B], "install")]); // again: nothing is written
  expect((await stat(tftp.links)).mtimeMs).toBe(before.mtimeMs);
  await pxe.apply([lasting([A, B], null)]);
  expect(await tftp.listing()).toEqual({ [linkC]: "conf/local", conf: "(no link)" });
});

test("configurations are files inside the directory, and nothing else", async () => {
  await using tftp = await makeTftpRoot(["local"]);
  const conf = tftp.configurationsDir;
  await writeFile(join(tftp.root, "secret"), "secret");
  await symlink("../../secret", join(conf, "outside"));
  await symlink("/etc/passwd", join(conf, "absolute"));
  await symlink("local", join(conf, "inside"));
  await symlink("nowhere", join(conf, "broken"));
  await Bun.$`mkfifo ${join(conf, "pipe")}`.quiet();
  await writeFile(join(conf, ".hidden"), "");
  await writeFile(join(conf, "large"), Buffer.alloc(65_537));
  await mkdir(join(conf, "pxelinux"));
  await writeFile(join(conf, "pxelinux", "rescue"), "rescue");
  await symlink("../../../secret", join(conf, "pxelinux", "outside2"));
  await symlink("../..", join(conf, "above"));
  await using pxe = await tftp.open();
  const found = await pxe.readConfigurations();
  expect(found.map(({ name, bootloader, content }) => [name, bootloader, content.toString()])).toEqual([
    ["inside", null, configurationText("local")],
    ["local", null, configurationText("local")],
    ["rescue", "pxelinux", "rescue"],
  ]);
  await pxe.apply([lasting([A], "rescue")]);
  expect((await tftp.listing())[linkA]).toBe("conf/pxelinux/rescue");
  expect(await refusal(pxe.apply([lasting([B], "outside")]))).toContain(
    'config: there is no boot configuration "outside"',
  );
});

test("what cannot be is refused as a whole, before anything changes", async () => {
  await using tftp = await makeTftpRoot();
  await mkdir(join(tftp.configurationsDir, "efi"));
  await writeFile(join(tftp.configurationsDir, "efi", "install"), "");
  await writeFile(join(tftp.links, linkC), "put here by hand");
  await using pxe = await tftp.open();
  await pxe.apply([lasting([A, B], "local")]);
  const before = await tftp.listing();
  const fine = lasting([A, B], "grml-2017.05");
  const refused = async (...others: Parameters<typeof pxe.apply>[0]) => await refusal(pxe.apply([fine, ...others]));
  expect(await refused(lasting(["d0:00:00:00:00:01"], "none"))).toMatch(/^config: .*"none"/);
  expect(await refused(lasting(["d0:00:00:00:00:01"], "../conf/local"))).toMatch(/^config: /);
  expect(await refused(lasting(["d0:00:00:00:00:01"], "install"))).toMatch(
    /^config: two boot configurations are called install/,
  );
  expect(await refused(lasting([B], "local"))).toMatch(/^usage: .* twice/);
  expect(await refused(lasting(["../../x"], "local"))).toMatch(/^usage: .*no MAC/);
  expect(await refused(lasting([], "local"))).toMatch(/^usage: /);
  expect(await refused(once(["d0:00:00:00:00:01"], "local", "a/../b"))).toMatch(/^usage: /);
  for (const configuration of ["local", null]) {
    expect(await refused(lasting([C], configuration))).toMatch(
      new RegExp(`^config: .*${linkC} is not a symbolic link`),
    );
  }
  expect(await tftp.listing()).toEqual(before);
  expect(await readFile(join(tftp.links, linkC), "utf8")).toBe("put here by hand");
  expect((await pxe.read()).find(({ mac }) => mac === C)?.boots).toEqual({ kind: "file" });
});

test("a file that is put there at the last moment is not overwritten, and what was switched before is put back", async () => {
  await using tftp = await makeTftpRoot();
  await using pxe = await tftp.open();
  await pxe.apply([lasting([A], "install")]);
  await writeFile(join(tftp.links, linkB), "put here by hand");
  const change = (mac: string, link: string, from: string | null, to: string | null) => {
    return { mac, path: join(tftp.links, link), from, to };
  };
  for (const to of ["conf/local", null]) {
    const changes = [
      change(A, linkA, "conf/install", to),
      change(C, linkC, null, to),
      change(B, linkB, "conf/install", to),
    ];
    expect(await refusal(switchLinks(tftp.links, changes))).toMatch(
      new RegExp(`^config: .*${linkB} is not a symbolic link`),
    );
    expect(await tftp.listing()).toEqual({ [linkA]: "conf/install", [linkB]: "(no link)", conf: "(no link)" });
  }
});

test("links made by hand or by PXE Pilot are understood", async () => {
  await using tftp = await makeTftpRoot();
  await using pxe = await tftp.open();
  await symlink(join(tftp.configurationsDir, "install"), join(tftp.links, linkA)); // absolute
  await symlink(join(tftp.links, linkA), join(tftp.links, linkB));
  await symlink("/pxelinux.cfg/conf/local", join(tftp.links, linkC)); // as a server in a chroot sees it
  await symlink("pxelinux.cfg/conf/local", join(tftp.links, "01-00-00-00-00-00-01")); // leads nowhere
  await symlink("01-00-00-00-00-00-02", join(tftp.links, "01-00-00-00-00-00-02")); // leads to itself
  await symlink("/etc/passwd", join(tftp.links, "01-00-00-00-00-00-03"));
  await writeFile(join(tftp.links, "default"), "");
  expect((await pxe.read()).map(({ boots }) => boots)).toEqual([
    { kind: "elsewhere", target: "pxelinux.cfg/conf/local" },
    { kind: "elsewhere", target: "01-00-00-00-00-00-02" },
    { kind: "elsewhere", target: "/etc/passwd" },
    { kind: "configuration", configuration: "install" },
    { kind: "configuration", configuration: "install" },
    { kind: "configuration", configuration: "local" },
  ]);
  await pxe.apply([lasting(["00:00:00:00:00:02"], "local"), lasting([A, B], "local")]);
  expect((await tftp.listing())[linkA]).toBe("conf/local");
  expect(await readFile(join(tftp.links, "01-00-00-00-00-00-02"), "utf8")).toBe(configurationText("local"));
});

test("one-shot: a copy of its own, reported once when it is read, whoever reads it", async () => {
  await using tftp = await makeTftpRoot();
  await chmod(join(tftp.configurationsDir, "install"), 0o640);
  await using pxe = await tftp.open();
  await pxe.apply([once([A, B], "install", "7-1"), once([C], "install", "8-1")]);
  expect((await tftp.listing())[linkA]).toBe(`conf/.one-shot/${linkA}@7-1@install`);
  expect((await stat(join(tftp.links, linkB))).mode & 0o777).toBe(0o640); // servers judge by the mode
  expect((await pxe.read()).map(({ boots }) => boots)).toEqual(
    ["7-1", "7-1", "8-1"].map((bootId) => ({ kind: "one-shot", configuration: "install", bootId })),
  );
  // Our own looking at everything is no boot, nor is the configuration that others read.
  await pxe.readConfigurations();
  await pxe.apply([once([A, B], "install", "7-1")]);
  await readFile(join(tftp.configurationsDir, "install"));
  expect(await readFile(join(tftp.links, linkB), "utf8")).toBe(configurationText("install"));
  await until(() => pxe.reads.length > 0);
  await readFile(join(tftp.links, linkA));
  await readFile(join(tftp.links, linkC)); // the events come in order: when this is reported, the one before was seen
  await until(() => pxe.reads.length > 1);
  expect(pxe.reads).toEqual([
    { mac: A, bootId: "7-1", configuration: "install" },
    { mac: C, bootId: "8-1", configuration: "install" },
  ]);
});

test("the next boot of the same deployment gets a copy of its own; a superseded one is not reported", async () => {
  await using tftp = await makeTftpRoot();
  await using pxe = await tftp.open({ graceMs: 0 });
  await pxe.apply([once([A], "install", "7-3")]);
  for (const next of ["7-2", "7-1"]) {
    const count = pxe.reads.length + 1;
    await readFile(join(tftp.links, linkA));
    await until(() => pxe.reads.length === count);
    await pxe.apply([once([A], "install", next)]);
  }
  expect(pxe.reads.map(({ bootId }) => bootId)).toEqual(["7-3", "7-2"]);
  await pxe.apply([lasting([A], "local")]);
  const copies = () => readdir(join(tftp.configurationsDir, ".one-shot"));
  await until(async () => (await copies()).length === 0);
  expect(pxe.reads).toHaveLength(2);
});

test("a report that fails is made again", async () => {
  await using tftp = await makeTftpRoot();
  const troubles: unknown[] = [];
  const reported: string[] = [];
  const onRead = async ({ bootId }: { bootId: string }) => {
    reported.push(bootId);
    if (reported.length < 2) throw new Error("the database is away");
  };
  await using pxe = await tftp.open({ onRead, onTrouble: (error) => troubles.push(error) });
  await pxe.apply([once([A], "install", "1")]);
  await readFile(join(tftp.links, linkA));
  await until(() => reported.length === 2);
  expect(String(troubles)).toContain("the database is away");
});

test("read while nobody was watching: reported at the next start, again until something else is deployed", async () => {
  await using tftp = await makeTftpRoot();
  {
    await using pxe = await tftp.open();
    await pxe.apply([once([A], "install", "1"), once([B], "install", "1")]);
  }
  await readFile(join(tftp.links, linkA));
  for (const _ of [1, 2]) {
    await using pxe = await tftp.open();
    await pxe.apply([once([A], "install", "1"), once([B], "install", "1")]); // does not wipe the traces
    await until(() => pxe.reads.length > 0);
    expect(pxe.reads).toEqual([{ mac: A, bootId: "1", configuration: "install" }]);
  }
});

test("neither an edited configuration nor a clock that was set back hides a boot", async () => {
  await using tftp = await makeTftpRoot();
  {
    await using pxe = await tftp.open();
    await pxe.apply([once([A], "install", "1"), once([B], "install", "1")]);
  }
  await readFile(join(tftp.links, linkA));
  await utimes(join(tftp.links, linkB), new Date("2126-01-01"), 1); // read at a time that is still to come
  await writeFile(join(tftp.configurationsDir, "install"), "edited");
  {
    let attempts = 0;
    const onRead = async () => {
      attempts += 1;
      throw new Error("the database is away");
    };
    await using pxe = await tftp.open({ onRead });
    await pxe.apply([once([A], "install", "1"), once([B], "install", "1")]);
    await until(() => attempts > 1);
  }
  await using pxe = await tftp.open();
  await until(() => pxe.reads.length > 1);
  expect(pxe.reads.map(({ mac }) => mac)).toEqual([A, B]);
});

test("a server that maps the file into its memory", async () => {
  await using tftp = await makeTftpRoot();
  await using pxe = await tftp.open();
  await pxe.apply([once([A], "install", "1")]);
  const program =
    "import mmap, sys; f = open(sys.argv[1]); print(mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)[0])";
  await Bun.$`python3 -c ${program} ${join(tftp.links, linkA)}`.quiet();
  await until(() => pxe.reads.length > 0);
});

test("more events than the kernel keeps: the boot whose events were dropped is found all the same", async () => {
  await using tftp = await makeTftpRoot();
  const troubles: unknown[] = [];
  await using pxe = await tftp.open({ onTrouble: (error) => troubles.push(error) });
  await pxe.apply([A, B, C].map((mac) => once([mac], "install", "1")));
  const kept = Number(readFileSync("/proc/sys/fs/inotify/max_queued_events", "utf8"));
  for (let events = 0; events <= kept; events += 6) {
    for (const link of [linkA, linkB]) readFileSync(join(tftp.links, link)); // without letting the watch have its turn
  }
  readFileSync(join(tftp.links, linkC));
  await until(() => pxe.reads.length > 2);
  expect(pxe.reads.map(({ mac }) => mac).sort()).toEqual([A, B, C]);
  expect(troubles).toEqual([]);
});

test("many at the same time wait for one another", async () => {
  await using tftp = await makeTftpRoot();
  await using pxe = await tftp.open();
  const macs = Array.from({ length: 30 }, (_, n) => `52:54:00:00:00:${(n + 16).toString(16)}`);
  await Promise.all(macs.map((mac, n) => pxe.apply([n % 2 ? lasting([mac], "local") : once([mac], "install", "1")])));
  expect((await pxe.read()).map(({ boots }) => boots.kind)).toEqual(
    macs.map((_, n) => (n % 2 ? "configuration" : "one-shot")),
  );
});

test("a configuration that was edited reaches a copy that nobody has read", async () => {
  await using tftp = await makeTftpRoot();
  await using pxe = await tftp.open();
  await pxe.apply([once([A], "install", "1")]);
  await writeFile(join(tftp.configurationsDir, "install"), "edited");
  await utimes(join(tftp.configurationsDir, "install"), 1000, 1000);
  await pxe.apply([once([A], "install", "1")]);
  expect(await readFile(join(tftp.links, linkA), "utf8")).toBe("edited");
  await until(() => pxe.reads.length > 0);
  expect(pxe.reads).toHaveLength(1);
});

test("the watch survives that somebody removes the directory of the copies", async () => {
  await using tftp = await makeTftpRoot();
  await using pxe = await tftp.open();
  await pxe.apply([once([A], "install", "1")]);
  await rm(join(tftp.configurationsDir, ".one-shot"), { recursive: true });
  expect((await pxe.read())[0]?.boots.kind).toBe("elsewhere");
  for (const [count, mac, link] of [
    [1, A, linkA],
    [2, C, linkC],
  ] as const) {
    await pxe.apply([once([mac], "install", "1")]);
    await readFile(join(tftp.links, link));
    await until(() => pxe.reads.length === count);
  }
});

test("a copy outlives its link for a while, and is not removed when it is wanted again", async () => {
  await using tftp = await makeTftpRoot();
  await using pxe = await tftp.open({ graceMs: 50 });
  await pxe.apply([once([A], "install", "1")]);
  const resolved = await realpath(join(tftp.links, linkA)); // what a server knows that was about to open it
  await pxe.apply([lasting([A], "local")]);
  expect(readFileSync(resolved, "utf8")).toBe(configurationText("install"));
  await until(() => !existsSync(resolved));
  await pxe.apply([once([A], "install", "2")]);
  await pxe.apply([lasting([A], "local")]);
  await pxe.apply([once([A], "install", "2")]);
  await Bun.sleep(150);
  expect(await readFile(join(tftp.links, linkA), "utf8")).toBe(configurationText("install"));
});

test("a boot of what was deployed before is not reported any more", async () => {
  await using tftp = await makeTftpRoot();
  await using pxe = await tftp.open({ retryWindowMs: 2000 });
  await pxe.apply([once([A], "install", "1"), once([B], "install", "1")]);
  await readFile(join(tftp.links, linkA));
  await Bun.sleep(300); // so that the watch has seen it
  await pxe.apply([lasting([A], "local")]);
  await readFile(join(tftp.links, linkB));
  await until(() => pxe.reads.length > 0);
  expect(pxe.reads.map(({ mac }) => mac)).toEqual([B]);
});

test("the links of a host are removed last to first, so that none leads to one that is gone", async () => {
  await using tftp = await makeTftpRoot();
  await using pxe = await tftp.open();
  await pxe.apply([lasting([A, B, C], "local")]);
  const paths = { root: tftp.root, links: tftp.links, configurations: tftp.configurationsDir, copies: "" };
  const order = async (configuration: string | null) => {
    const { changes } = await planDeployments(
      [lasting([A, B, C], configuration)],
      paths,
      await pxe.readConfigurations(),
    );
    return changes.map(({ mac }) => mac);
  };
  expect(await order(null)).toEqual([B, C, A]);
  await pxe.apply([lasting([A, B, C], null)]);
  expect(await order("local")).toEqual([A, B, C]);
});

test("one process keeps the directory; what a killed one left behind is cleared", async () => {
  await using tftp = await makeTftpRoot();
  {
    await using pxe = await tftp.open();
    await pxe.apply([once([A], "install", "1")]);
    expect(await refusal(tftp.open())).toMatch(/^state: another process keeps /);
  }
  const copies = join(tftp.configurationsDir, ".one-shot");
  await symlink("conf/local", join(tftp.links, ".reimage-link"));
  await writeFile(join(copies, ".new-copy"), "half");
  await writeFile(join(copies, `${linkB}@2@install`), "not linked yet");
  await using pxe = await tftp.open();
  expect(Object.keys(await tftp.listing())).toEqual([linkA, "conf"]);
  expect(await readdir(copies)).toEqual([`${linkA}@1@install`]);
  expect(pxe.warnings).toEqual([]);
});

test("what a server has to read can be read, whatever the umask of serve is", async () => {
  await using tftp = await makeTftpRoot();
  await chmod(join(tftp.configurationsDir, "install"), 0o644);
  const before = process.umask(0o077);
  try {
    await using pxe = await tftp.open();
    await pxe.apply([once([A], "install", "1")]);
  } finally {
    process.umask(before);
  }
  expect((await stat(join(tftp.configurationsDir, ".one-shot"))).mode & 0o777).toBe(0o755);
  expect((await stat(join(tftp.links, linkA))).mode & 0o777).toBe(0o644);
});

test("directories that cannot work are refused", async () => {
  await using tftp = await makeTftpRoot();
  await using other = await makeTftpRoot();
  expect(await refusal(tftp.open({ configurationsDir: other.configurationsDir }))).toMatch(
    /^config: .* is not inside /,
  );
  expect(await refusal(tftp.open({ root: join(tftp.root, "none") }))).toMatch(
    /^config: the root of the TFTP server, .*none/,
  );
  await rename(tftp.configurationsDir, join(tftp.root, "elsewhere"));
  expect(await refusal(tftp.open())).toMatch(/^config: the directory of boot configurations, .*conf, cannot be read/);
});
