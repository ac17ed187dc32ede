/** An old OS with one of everything that is hard to retain, below `/kiosk`. */
import { chmod, lchown, link, mkdir, open, symlink, writeFile } from "node:fs/promises";
import { formatAclAttribute } from "../../src/retention/acl.ts";
import { joinPath } from "../../src/retention/path.ts";
import { makeNode, setTimes, setXattr } from "../../src/system/libc.ts";

/** Same number as on the machine of the test, so that GNU tar finds the name there. */
const passwd = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:\nkiosk:x:1000:1000::/home/kiosk:/bin/sh\n";
const group = "root:x:0:\ndaemon:x:1:\nkiosk:x:1000:\n";

export const SPARSE_SIZE_BYTES = 2 ** 40;

/** cap_net_raw=ep as setcap(8) writes it: struct vfs_cap_data, revision 2. */
const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");

/** Makes the tree and returns the list of everything in it, parents first, without /etc. */
export async function makeOldOs(root: string): Promise<Buffer[]> {
  const paths: Buffer[] = [];
  const absolute = (path: Buffer) => Buffer.concat([Buffer.from(root), path]);
  const make = async (path: Buffer | string, create: (absolutePath: Buffer) => unknown): Promise<Buffer> => {
    const bytes = Buffer.from(path);
    await create(absolute(bytes));
    paths.push(bytes);
    return absolute(bytes);
  };
  const write = (path: Buffer | string, content: string | Buffer) => make(path, (at) => writeFile(at, content));
  const directory = (path: Buffer | string) => make(path, (at) => mkdir(at));

  await mkdir(`${root}/etc`);
  await writeFile(`${root}/etc/passwd`, passwd);
  await writeFile(`${root}/etc/group`, group);
  await directory("/kiosk");

  for (const mode of [0o0, 0o444, 0o4755, 0o2755, 0o6711, 0o1777, 0o7777]) {
    const at = await write(`/kiosk/mode-${mode.toString(8)}`, "x".repeat(mode));
    await lchown(at, 33, 44);
    await chmod(at, mode);
  }
  await chmod(await directory("/kiosk/sticky"), 0o3777);
  await write("/kiosk/empty", "");
  await write("/kiosk/large", Buffer.alloc(3 * 1024 * 1024 + 7, "large"));
  await lchown(await write("/kiosk/high-ids", "x"), 4_000_000_000, 3_999_999_999);

  const named = await write("/kiosk/attributes", "x");
  setXattr(named, "user.binary", Buffer.from([0, 1, 10, 255, 0]));
  setXattr(named, "user.empty", Buffer.alloc(0));
  setXattr(named, "user.a=b%c", Buffer.from("equals"));
  setXattr(named, "trusted.kiosk", Buffer.from("trusted"));
  setXattr(named, "security.selinux", Buffer.from("system_u:object_r:etc_t:s0\0"));
  const capable = await write("/kiosk/capable", "x");
  await lchown(capable, 0, 1);
  await chmod(capable, 0o755);
  setXattr(capable, "security.capability", capability);

  const acl = (otherUser: number, mask: number) =>
    formatAclAttribute([
      { tag: "user-owner", id: null, permissions: 7 },
      { tag: "user", id: 1, permissions: 6 },
      { tag: "user", id: otherUser, permissions: 4 },
      { tag: "group-owner", id: null, permissions: 5 },
      { tag: "group", id: 4242, permissions: 1 },
      { tag: "mask", id: null, permissions: mask },
      { tag: "other", id: null, permissions: 0 },
    ]);
  setXattr(await write("/kiosk/acl", "x"), "system.posix_acl_access", acl(4243, 7));
  const aclDirectory = await directory("/kiosk/acl-directory");
  await write("/kiosk/acl-directory/inside", "made before its directory had a default ACL");
  setXattr(aclDirectory, "system.posix_acl_access", acl(4244, 5));
  setXattr(aclDirectory, "system.posix_acl_default", acl(4245, 6));

  await directory("/kiosk/links");
  const first = await write("/kiosk/links/a", "three names");
  await make("/kiosk/links/b", (at) => link(first, at));
  await directory("/kiosk/links/d");
  await make("/kiosk/links/d/c", (at) => link(first, at));
  await make("/kiosk/links/dangling", (at) => symlink("/no/such/file", at));
  await make("/kiosk/links/escape", (at) => symlink("../../../../../../etc/shadow", at));
  await make("/kiosk/links/long", (at) => symlink(Buffer.concat([Buffer.from([0xff]), Buffer.alloc(300, "l")]), at));
  await make("/kiosk/links/loop", (at) => symlink("loop", at));
  await lchown(await make("/kiosk/links/owned", (at) => symlink("a", at)), 33, 44);
  const hardSymlink = await make("/kiosk/links/symlink", (at) => symlink("a", at));
  await make("/kiosk/links/symlink-2", (at) => link(hardSymlink, at));

  await make("/kiosk/node-block", (at) => makeNode(at, 0o060640, 0x12345n));
  await make("/kiosk/node-char", (at) => makeNode(at, 0o020666, 259n));
  await make("/kiosk/node-fifo", (at) => makeNode(at, 0o010600, 0n));

  await directory("/kiosk/names");
  await write("/kiosk/names/ leading and trailing ", "spaces");
  await write("/kiosk/names/new\nline\ttab", "control");
  await write("/kiosk/names/back\\slash\"'$(x)*?[", "shell");
  await write("/kiosk/names/é😀\u2028", "UTF-8");
  await write(joinPath(Buffer.from("/kiosk/names"), Buffer.from([0xff, 0xfe, 0x80, 0x0a])), "bytes");
  const longName = "n".repeat(255);
  await write(`/kiosk/names/${longName}`, "255 bytes");
  await directory("/kiosk/names/same");
  await write("/kiosk/names/same/attributes", "the same base name again");
  let deep = "/kiosk/deep";
  await directory(deep);
  for (const letter of ["a", "b", "c"]) {
    deep = `${deep}/${letter.repeat(200)}`;
    await directory(deep);
  }
  await write(`${deep}/file`, "more than 256 bytes down");
  await make(`${deep}/link`, (at) => link(absolute(Buffer.from(`${deep}/file`)), at));

  await makeSparse(await make("/kiosk/sparse", () => {}));
  await make("/kiosk/sparse-empty", (at) => writeSparse(at, 10_000_000, []));

  // Times last, deepest first: what is made in a directory changes its own.
  for (const [i, path] of paths.toReversed().entries()) {
    const ns = 1_234_567_890_123_456_789n + BigInt(i) * 1_000_000_007n;
    setTimes(absolute(path), ns + 1n, ns);
  }
  setTimes(absolute(Buffer.from("/kiosk/empty")), -1_500_000_001n, -86_400_000_000_001n); // before 1970
  setTimes(absolute(Buffer.from("/kiosk/large")), 4_000_000_000_000_000_001n, 4_000_000_000_000_000_002n); // after 2038
  return paths;
}

async function makeSparse(at: Buffer): Promise<void> {
  await writeSparse(at, SPARSE_SIZE_BYTES, [4096, SPARSE_SIZE_BYTES / 2, SPARSE_SIZE_BYTES - 65_536]);
}

async function writeSparse(at: Buffer, sizeBytes: number, dataAt: readonly number[]): Promise<void> {
  const file = await open(at, "wx");
  try {
    await file.truncate(sizeBytes);
    for (const offsetBytes of dataAt)
      await file.write(Buffer.alloc(4096, `data at ${offsetBytes}`), 0, 4096, offsetBytes);
  } finally {
    await file.close();
  }
}
