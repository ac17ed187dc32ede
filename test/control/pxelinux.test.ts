/** pxelinux.cfg as a real TFTP server serves it: the install loop, switching under readers, being killed, a bad disk. */
import { expect, test } from "bun:test";
import { chown, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { PxelinuxDirectory } from "../../src/control/server/pxelinux/directory.ts";
import type { OneShot } from "../../src/control/server/pxelinux/names.ts";
import { runTestCommand } from "../support/loop-device.ts";
import { configurationText, fiftyHosts, makeTftpRoot, until } from "../support/pxelinux.ts";
import { openTftpPackets, startTftpServer } from "../support/tftp-server.ts";
import { fillUp, mountTmpfs } from "../support/tmpfs.ts";

const bun = process.execPath;
const MACS = ["23:34:a3:e9:09:cc", "23:34:a3:e9:09:cd"];
const [file, secondFile] = MACS.map((mac) => `pxelinux.cfg/01-${mac.replaceAll(":", "-")}`) as [string, string];
const [install, local] = ["install", "local"].map(configurationText) as [string, string];

type TftpRoot = Awaited<ReturnType<typeof makeTftpRoot>>;

/** Stands for the database: so many boots of `install` are left, then `local`. */
function createCountdown(boots: number) {
  let left = boots;
  let directory: PxelinuxDirectory | null = null;
  const reads: OneShot[] = [];
  const deploy = async () => {
    const [configuration, bootId] = left > 0 ? ["install", `1-${left}`] : ["local", null];
    await directory?.apply([{ macs: MACS, configuration, bootId }]);
  };
  return {
    reads,
    left: () => left,
    /** A run of `serve`: opens the directory and makes it what the database says. */
    async start(tftp: TftpRoot, times = { retryWindowMs: 0, longestReadMs: 30_000 }): Promise<PxelinuxDirectory> {
      const onRead = async (read: OneShot) => {
        reads.push(read);
        if (read.bootId === `1-${left}`) left -= 1; // another boot was counted already
        await deploy();
      };
      directory = await tftp.open({ onRead, ...times });
      await deploy();
      return directory;
    },
  };
}

const boots = async (directory: PxelinuxDirectory) => (await directory.read()).map((entry) => entry.boots.kind);

test("an installer that nobody stops is booted once: serve is running, the machine never calls back", async () => {
  await using tftp = await makeTftpRoot();
  await using server = await startTftpServer(tftp.root, "pxelinux.cfg/conf/local");
  const database = createCountdown(1);
  await using directory = await database.start(tftp);
  expect(await server.get(secondFile)).toBe(install); // it boots from its second network card
  await until(async () => (await boots(directory))[0] === "configuration");
  for (const path of [file, secondFile]) {
    expect(await server.get(path)).toBe(local);
    expect(await server.getWithTftp(path)).toBe(local);
  }
  expect(database.reads).toEqual([{ mac: MACS[0] as string, bootId: "1-1", configuration: "install" }]);
}, 30_000);

test("the same with serve down while the machine boots", async () => {
  await using tftp = await makeTftpRoot();
  await using server = await startTftpServer(tftp.root, "pxelinux.cfg/conf/local");
  const database = createCountdown(1);
  await (await database.start(tftp))[Symbol.asyncDispose]();
  expect(await server.getWithTftp(file)).toBe(install);
  expect(database.reads).toEqual([]);
  await using directory = await database.start(tftp);
  await until(async () => (await boots(directory))[0] === "configuration");
  expect(await server.get(file)).toBe(local);
  expect(database.reads).toHaveLength(1);
}, 30_000);

test("a copy belongs to whom the configuration belongs: some servers give away their own files only", async () => {
  await using tftp = await makeTftpRoot();
  await using directory = await tftp.open();
  await chown(join(tftp.configurationsDir, "install"), 65_534, 65_534);
  await directory.apply([{ macs: MACS, configuration: "install", bootId: "1" }]);
  const { uid, gid } = await stat(join(tftp.root, file));
  expect([uid, gid]).toEqual([65_534, 65_534]);
});

test("three boots, one of them while serve is down", async () => {
  await using tftp = await makeTftpRoot();
  await using server = await startTftpServer(tftp.root, "pxelinux.cfg/conf/local");
  const database = createCountdown(3);
  {
    await using _ = await database.start(tftp);
    expect(await server.get(file)).toBe(install);
    await until(() => database.left() === 2);
  }
  expect(await server.get(file)).toBe(install);
  await using directory = await database.start(tftp);
  await until(() => database.left() === 1);
  expect(await server.get(file)).toBe(install);
  await until(async () => (await boots(directory))[0] === "configuration");
  expect(await server.get(file)).toBe(local);
  expect(database.reads.map(({ bootId }) => bootId)).toEqual(["1-3", "1-2", "1-1"]);
}, 30_000);

test("asking for the size is no boot; asking again for what got lost is the same boot, with the same answer", async () => {
  await using tftp = await makeTftpRoot();
  await using server = await startTftpServer(tftp.root, "pxelinux.cfg/conf/local");
  const database = createCountdown(3);
  // in.tftpd goes on sending to a client that is silent, for a minute: the boot counts without waiting for that.
  await using directory = await database.start(tftp, { retryWindowMs: 1500, longestReadMs: 3000 });
  {
    using firmware = await openTftpPackets(server.port);
    firmware.request(file, "tsize", "0");
    expect((await firmware.receive()).opcode).toBe(6);
    firmware.abort();
  }
  using impatient = await openTftpPackets(server.port);
  impatient.request(file);
  expect((await impatient.receive()).rest.subarray(2).toString()).toBe(install.slice(0, 512));
  impatient.request(file); // as if that had been lost: the server starts a second transfer
  await impatient.receive();
  expect(await server.get(file)).toBe(install); // and a client that has started over
  impatient.abort();
  await until(() => database.left() < 3);
  // The other machine's boot is reported after anything that was still to come of the first one.
  const next = { macs: ["00:00:00:00:00:01"], configuration: "install", bootId: "other" };
  await directory.apply([next]);
  expect(await server.get("pxelinux.cfg/01-00-00-00-00-00-01")).toBe(install);
  await until(() => database.reads.length > 1);
  expect(database.reads.map(({ bootId }) => bootId)).toEqual(["1-3", "other"]);
  expect(database.left()).toBe(2);
}, 30_000);

test("1,000 switches: no reader ever finds no file, or half of one", async () => {
  await using tftp = await makeTftpRoot();
  await using server = await startTftpServer(tftp.root, "pxelinux.cfg/conf/local");
  await using directory = await tftp.open({ retryWindowMs: 60_000 });
  await directory.apply([{ macs: MACS, configuration: "local", bootId: null }]);
  const reader = Bun.spawn(
    [bun, "test/support/pxelinux-reader.ts", join(tftp.root, file), join(tftp.root, secondFile)],
    {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    },
  );
  let isOver = false;
  const overTftp = (async () => {
    const seen = new Set<string | null>();
    while (!isOver) seen.add(await server.get(seen.size % 2 === 0 ? file : secondFile));
    return seen;
  })();
  for (let n = 0; n < 1000; n += 1) {
    const configuration = n % 2 === 0 ? "install" : "local";
    await directory.apply([{ macs: MACS, configuration, bootId: n % 4 < 2 ? null : String(n) }]);
  }
  isOver = true;
  reader.stdin.end();
  const seen = JSON.parse(await new Response(reader.stdout).text()) as Record<string, number>;
  expect(Object.keys(seen).sort()).toEqual(["install", "local"]);
  expect([...(await overTftp)].every((text) => text === install || text === local)).toBe(true);
}, 120_000);

test("killed while it switches 50 hosts: every link is whole, and the next start carries on", async () => {
  await using tftp = await makeTftpRoot();
  const hosts = fiftyHosts();
  for (let round = 0; round < 8; round += 1) {
    const command = [bun, "test/support/pxelinux-switcher.ts", tftp.root, tftp.configurationsDir];
    const switcher = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
    const output = switcher.stdout.getReader();
    expect((await output.read()).done).toBe(false);
    await Bun.sleep(17 * round);
    switcher.kill("SIGKILL");
    await switcher.exited;
    for (const mac of hosts.flat()) {
      const text = await readFile(join(tftp.links, `01-${mac.replaceAll(":", "-")}`), "utf8");
      expect([install, local]).toContain(text);
    }
    await using directory = await tftp.open();
    const names = Object.keys(await tftp.listing());
    expect(names).toHaveLength(101); // and conf: nothing half-made is left
    const wanted =
      round % 2 === 0 ? { configuration: "local", bootId: null } : { configuration: "install", bootId: "x" };
    await directory.apply(hosts.map((macs) => ({ macs, ...wanted })));
    const kind = wanted.bootId === null ? "configuration" : "one-shot";
    expect(new Set(await boots(directory))).toEqual(new Set([kind]));
  }
}, 120_000);

/** The refusal of an attempt, in words; and nothing may have changed. */
async function refusedUnchanged(tftp: TftpRoot, attempt: Promise<void>): Promise<string> {
  const before = await tftp.listing();
  const error = await attempt.then(
    () => null,
    (thrown: Error & { hint?: string }) => thrown,
  );
  expect(await tftp.listing()).toEqual(before);
  return `${error?.message} | ${error?.hint}`;
}

test("a directory that cannot be written: nothing changes, whichever host it is that fails", async () => {
  await using tmpfs = await mountTmpfs(4 << 20);
  await using tftp = await makeTftpRoot(["local", "install"], tmpfs.dir);
  await using directory = await tftp.open();
  const hosts = fiftyHosts();
  const all = (configuration: string | null, bootId: string | null) =>
    hosts.map((macs) => ({ macs, configuration, bootId }));
  await directory.apply(all("local", null).slice(0, 10));
  const remount = (option: string) => runTestCommand(["mount", "-o", `remount,${option}`, tmpfs.dir]);

  await remount("ro");
  for (const wanted of [all("install", null), all("install", "1"), all(null, null)]) {
    expect(await refusedUnchanged(tftp, directory.apply(wanted))).toMatch(/nothing has changed \| .*mounted read-only/);
  }
  await remount("rw");

  // The first 10 hosts have their links already; room for 30 more links, and 80 are wanted.
  const used = Number(
    (await runTestCommand(["stat", "-f", "-c", "%c %d", tmpfs.dir]))
      .split(" ")
      .reduce((all, free) => String(Number(all) - Number(free))),
  );
  await remount(`nr_inodes=${used + 30}`);
  expect(await refusedUnchanged(tftp, directory.apply(all("install", null)))).toMatch(
    /nothing has changed \| make room/,
  );
  await remount("nr_inodes=10000");

  fillUp(tmpfs.dir, "filler");
  expect(await refusedUnchanged(tftp, directory.apply(all("install", "1")))).toMatch(
    /nothing has changed \| make room/,
  );
  await Bun.file(join(tmpfs.dir, "filler")).delete();
  expect(await readdir(join(tftp.configurationsDir, ".one-shot"))).not.toContain(".new-copy");

  await directory.apply(all("install", "1"));
  expect(new Set(await boots(directory))).toEqual(new Set(["one-shot"]));
}, 60_000);

test("noatime: said at the start, and with serve running it works all the same", async () => {
  await using tmpfs = await mountTmpfs(4 << 20);
  await runTestCommand(["mount", "-o", "remount,noatime", tmpfs.dir]);
  await using tftp = await makeTftpRoot(["local", "install"], tmpfs.dir);
  await using server = await startTftpServer(tftp.root, "pxelinux.cfg/conf/local");
  const database = createCountdown(1);
  await using directory = await database.start(tftp);
  expect(directory.warnings.join()).toContain("noatime");
  expect(await server.get(file)).toBe(install);
  await until(async () => (await boots(directory))[0] === "configuration");
  expect(await server.get(file)).toBe(local);
}, 30_000);

test("the links of PXE Pilot are taken over, with what a human put there left alone", async () => {
  await using tftp = await makeTftpRoot();
  await using server = await startTftpServer(tftp.root, "pxelinux.cfg/conf/local");
  await symlink(join(tftp.configurationsDir, "install"), join(tftp.root, file));
  await writeFile(join(tftp.root, secondFile), "by hand");
  await using directory = await tftp.open();
  expect(await boots(directory)).toEqual(["configuration", "file"]);
  expect(await server.get(file)).toBeNull(); // its absolute links lead nowhere for a server that is confined to the root
  await directory.apply([{ macs: [MACS[0] as string], configuration: "local", bootId: null }]);
  expect(await server.get(file)).toBe(local);
  expect(await server.get(secondFile)).toBe("by hand");
}, 30_000);
