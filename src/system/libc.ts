/**
 * The system calls that neither node:fs nor a command offers, by bun:ffi from glibc.
 * All of them return at once or after a single short operation; whatever can block for long (mount, sync) is a command
 * or an asynchronous node:fs call instead, because an FFI call stops the event loop and with it the watchdog.
 */
import { dlopen, type Pointer, ptr, read } from "bun:ffi";
import { getSystemErrorMap } from "node:util";

const libc = dlopen("libc.so.6", {
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
  flock: { args: ["i32", "i32"], returns: "i32" },
  syscall: { args: ["i64", "i64", "ptr", "ptr", "u64"], returns: "i64" },
  openat: { args: ["i32", "ptr", "i32", "u32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  lseek: { args: ["i32", "i64", "i32"], returns: "i64" },
  utimensat: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
  llistxattr: { args: ["ptr", "ptr", "u64"], returns: "i64" },
  lgetxattr: { args: ["ptr", "ptr", "ptr", "u64"], returns: "i64" },
  lsetxattr: { args: ["ptr", "ptr", "ptr", "u64", "i32"], returns: "i32" },
  lremovexattr: { args: ["ptr", "ptr"], returns: "i32" },
  reboot: { args: ["i32"], returns: "i32" },
  swapon: { args: ["ptr", "i32"], returns: "i32" },
  swapoff: { args: ["ptr"], returns: "i32" },
  fallocate: { args: ["i32", "i32", "i64", "i64"], returns: "i32" },
  pipe2: { args: ["ptr", "i32"], returns: "i32" },
  fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
  inotify_init1: { args: ["i32"], returns: "i32" },
  inotify_add_watch: { args: ["i32", "ptr", "u32"], returns: "i32" },
  read: { args: ["i32", "ptr", "u64"], returns: "i64" },
  __errno_location: { args: [], returns: "ptr" },
});
/** syscall(2) again, for kexec_file_load and mknod, which take other types. */
const kexec = dlopen("libc.so.6", {
  syscall: { args: ["i64", "i64", "i64", "u64", "ptr", "u64"], returns: "i64" },
});
const nodes = dlopen("libc.so.6", { syscall: { args: ["i64", "ptr", "u64", "u64"], returns: "i64" } });
const errnoAddress = libc.symbols.__errno_location() as Pointer;

/** A failed system call, shaped like the errors of node:fs (`code` is the errno's name). */
export class SystemCallError extends Error {
  readonly code: string;
  readonly errno: number;
  constructor(call: string, object: string, errno: number) {
    const [code, text] = getSystemErrorMap().get(-errno) ?? [`E${errno}`, `errno ${errno}`];
    super(`${call} ${object}: ${text} (${code})`);
    this.name = "SystemCallError";
    this.code = code;
    this.errno = errno;
  }
}

/** Throws when `result` is negative. errno is read before anything else can run, so it is still this call's. */
function check(result: number | bigint, call: string, object: string): number {
  if (result < 0) throw new SystemCallError(call, object, read.i32(errnoAddress, 0));
  return Number(result);
}

/** A path for the kernel: the bytes and a NUL. Paths of retained files may hold any byte, hence buffers. */
function cString(path: string | Buffer): Buffer {
  return Buffer.concat([typeof path === "string" ? Buffer.from(path) : path, Buffer.of(0)]);
}

function printable(path: string | Buffer): string {
  return typeof path === "string" ? path : path.toString();
}

/** ioctl(2) with an optional argument buffer, which the kernel may read or fill. */
export function ioctl(fd: number, request: number, argument: Buffer | null, name: string): void {
  check(libc.symbols.ioctl(fd, request, argument === null ? null : ptr(argument)), `ioctl ${name}`, `on fd ${fd}`);
}

/** flock(2) exclusively without waiting; EWOULDBLOCK when somebody else holds the lock. */
export function lockExclusive(fd: number, object: string): void {
  const LOCK_EX_NB = 2 | 4;
  check(libc.symbols.flock(fd, LOCK_EX_NB), "flock", object);
}

/**
 * openat2(2) with RESOLVE_IN_ROOT: `path` is looked up as if the directory `rootFd` were `/`, so that neither `..` nor
 * a symbolic link, absolute or relative, leads outside it. Needs Linux 5.6.
 */
export function openInRoot(rootFd: number, path: string | Buffer, flags: number, mode = 0): number {
  const SYS_OPENAT2 = 437;
  const RESOLVE_IN_ROOT = 0x10n;
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(flags), 0);
  how.writeBigUInt64LE(BigInt(mode), 8);
  how.writeBigUInt64LE(RESOLVE_IN_ROOT, 16);
  return check(libc.symbols.syscall(SYS_OPENAT2, rootFd, ptr(cString(path)), ptr(how), 24), "openat2", printable(path));
}

/** openat(2): `name` in the directory `directoryFd`. */
export function openAt(directoryFd: number, name: string | Buffer, flags: number): number {
  return check(libc.symbols.openat(directoryFd, ptr(cString(name)), flags, 0), "openat", printable(name));
}

/** pipe(7). Both ends are the caller's to close, with closeFd(). */
export interface Pipe {
  readonly readFd: number;
  readonly writeFd: number;
}

/**
 * pipe2(2), close-on-exec, with room for `sizeBytes` where the kernel grants it (F_SETPIPE_SZ): 64 KiB, the default, make
 * a fast decoder and its reader take turns.
 */
export function openPipe(sizeBytes: number): Pipe {
  const O_CLOEXEC = 0o2000000;
  const F_SETPIPE_SZ = 1031;
  const ends = Buffer.alloc(8);
  check(libc.symbols.pipe2(ptr(ends), O_CLOEXEC), "pipe2", "a pipe");
  const pipe = { readFd: ends.readInt32LE(0), writeFd: ends.readInt32LE(4) };
  libc.symbols.fcntl(pipe.readFd, F_SETPIPE_SZ, sizeBytes); // may be refused: it is slower then, and not wrong
  return pipe;
}

/** inotify_init1(2), close-on-exec, read with `readAvailable`. The caller closes it, with closeFd(). */
export function openInotify(): number {
  const IN_NONBLOCK_CLOEXEC = 0o2004000;
  return check(libc.symbols.inotify_init1(IN_NONBLOCK_CLOEXEC), "inotify_init1", "an inotify instance");
}

/** inotify_add_watch(2). @param mask the IN_ bits of inotify(7) */
export function addInotifyWatch(fd: number, path: string, mask: number): void {
  check(libc.symbols.inotify_add_watch(fd, ptr(cString(path)), mask), "inotify_add_watch", path);
}

/** read(2) from a non-blocking descriptor into `buffer`; null where there is nothing to be read now (EAGAIN). */
export function readAvailable(fd: number, buffer: Buffer): number | null {
  const result = libc.symbols.read(fd, ptr(buffer), buffer.length);
  const EAGAIN = 11;
  if (result < 0 && read.i32(errnoAddress, 0) === EAGAIN) return null;
  return check(result, "read", `fd ${fd}`);
}

/** close(2) for descriptors that came from this file. */
export function closeFd(fd: number): void {
  check(libc.symbols.close(fd), "close", `fd ${fd}`);
}

/** lseek(2) with SEEK_DATA or SEEK_HOLE; null where there is no further data or hole (ENXIO). */
export function seekDataOrHole(fd: number, offsetBytes: number, what: "data" | "hole"): number | null {
  const result = libc.symbols.lseek(fd, offsetBytes, what === "data" ? 3 : 4);
  const ENXIO = 6;
  if (result < 0 && read.i32(errnoAddress, 0) === ENXIO) return null;
  return check(result, "lseek", `fd ${fd}`);
}

const SYS_MKNOD = 133; // x86-64; glibc has a function of that name only since 2.33

/** mknod(2). `mode` holds the type bits (S_IFIFO, S_IFCHR …); `device` is the kernel's dev_t for device nodes. */
export function makeNode(path: string | Buffer, mode: number, device: bigint): void {
  check(nodes.symbols.syscall(SYS_MKNOD, ptr(cString(path)), mode, device), "mknod", printable(path));
}

/** Sets access and modification time in nanoseconds since the epoch, of a symbolic link itself too. */
export function setTimes(path: string | Buffer, accessedNs: bigint, modifiedNs: bigint): void {
  const AT_FDCWD = -100;
  const AT_SYMLINK_NOFOLLOW = 0x100;
  const times = Buffer.alloc(32);
  [accessedNs, modifiedNs].forEach((ns, i) => {
    const nanoseconds = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n; // times before 1970 are legal
    times.writeBigInt64LE((ns - nanoseconds) / 1_000_000_000n, i * 16);
    times.writeBigInt64LE(nanoseconds, i * 16 + 8);
  });
  check(
    libc.symbols.utimensat(AT_FDCWD, ptr(cString(path)), ptr(times), AT_SYMLINK_NOFOLLOW),
    "utimensat",
    printable(path),
  );
}

/** Names of all extended attributes of a file (not following a symbolic link); empty where there are none. */
export function listXattrs(path: string | Buffer): string[] {
  const name = cString(path);
  const ENOTSUP = 95;
  const size = libc.symbols.llistxattr(ptr(name), null, 0);
  if (size < 0 && read.i32(errnoAddress, 0) === ENOTSUP) return [];
  const sizeBytes = check(size, "llistxattr", printable(path));
  if (sizeBytes === 0) return [];
  const names = Buffer.alloc(sizeBytes);
  const filled = check(libc.symbols.llistxattr(ptr(name), ptr(names), sizeBytes), "llistxattr", printable(path));
  return names.subarray(0, filled).toString("latin1").split("\0").filter(Boolean);
}

/** The value of one extended attribute (not following a symbolic link). */
export function getXattr(path: string | Buffer, attribute: string): Buffer {
  const name = cString(path);
  const key = cString(Buffer.from(attribute, "latin1"));
  const object = `${attribute} of ${printable(path)}`;
  const sizeBytes = check(libc.symbols.lgetxattr(ptr(name), ptr(key), null, 0), "lgetxattr", object);
  if (sizeBytes === 0) return Buffer.alloc(0);
  const value = Buffer.alloc(sizeBytes);
  const filled = check(libc.symbols.lgetxattr(ptr(name), ptr(key), ptr(value), sizeBytes), "lgetxattr", object);
  return value.subarray(0, filled);
}

/** Sets one extended attribute (not following a symbolic link). Works for security.selinux without a loaded policy. */
export function setXattr(path: string | Buffer, attribute: string, value: Buffer): void {
  const key = cString(Buffer.from(attribute, "latin1"));
  const data = value.length === 0 ? null : ptr(value);
  const object = `${attribute} of ${printable(path)}`;
  check(libc.symbols.lsetxattr(ptr(cString(path)), ptr(key), data, value.length, 0), "lsetxattr", object);
}

/** Removes one extended attribute (not following a symbolic link). */
export function removeXattr(path: string | Buffer, attribute: string): void {
  const key = cString(Buffer.from(attribute, "latin1"));
  const object = `${attribute} of ${printable(path)}`;
  check(libc.symbols.lremovexattr(ptr(cString(path)), ptr(key)), "lremovexattr", object);
}

/** reboot(2). Does not sync: the caller has. Does not return. */
export function rebootMachine(how: "reboot" | "poweroff" | "kexec"): void {
  const commands = { reboot: 0x01234567, poweroff: 0x4321fedc, kexec: 0x45584543 };
  check(libc.symbols.reboot(commands[how]), "reboot", how);
}

const SYS_KEXEC_FILE_LOAD = 320; // x86-64

/**
 * kexec_file_load(2): the kernel keeps a kernel and an initramfs in memory, for `rebootMachine("kexec")`. It copies both
 * and hashes them: a second for a large initramfs.
 */
export function loadKexec(kernelFd: number, initramfsFd: number, commandLine: string): void {
  const text = cString(commandLine);
  const { syscall } = kexec.symbols;
  check(
    syscall(SYS_KEXEC_FILE_LOAD, kernelFd, initramfsFd, text.length, ptr(text), 0),
    "kexec_file_load",
    "the kernel",
  );
}

/** Forgets what loadKexec has loaded. */
export function unloadKexec(): void {
  const KEXEC_FILE_UNLOAD = 1;
  check(kexec.symbols.syscall(SYS_KEXEC_FILE_LOAD, -1, -1, 0, null, KEXEC_FILE_UNLOAD), "kexec_file_load", "unload");
}

/** swapon(2). @param priority of the area; null leaves it to the kernel, which then shows a negative one */
export function swapOn(path: string, priority: number | null): void {
  const SWAP_FLAG_PREFER = 0x8000;
  const flags = priority === null ? 0 : SWAP_FLAG_PREFER | (priority & 0x7fff);
  check(libc.symbols.swapon(ptr(cString(path)), flags), "swapon", path);
}

/** swapoff(2). Reads back into memory all that lies there, so it may take as long as that. */
export function swapOff(path: string): void {
  check(libc.symbols.swapoff(ptr(cString(path))), "swapoff", path);
}

/**
 * fallocate(2): `reserve` gives a file blocks of its own that read as zeros, and its length grows with them; `punch` takes
 * them away again, and its length stays. EOPNOTSUPP where the file system cannot.
 */
export function allocateRange(fd: number, what: "reserve" | "punch", offsetBytes: number, sizeBytes: number): void {
  const PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01;
  const mode = what === "punch" ? PUNCH_HOLE_KEEP_SIZE : 0;
  check(libc.symbols.fallocate(fd, mode, offsetBytes, sizeBytes), "fallocate", `fd ${fd}`);
}

/** Memory whose address is a multiple of 4096, as O_DIRECT asks. */
export function alignedBuffer(sizeBytes: number): Buffer {
  const ALIGNMENT = 4096;
  const buffer = Buffer.alloc(sizeBytes + ALIGNMENT);
  const offset = (ALIGNMENT - (Number(ptr(buffer)) % ALIGNMENT)) % ALIGNMENT;
  return buffer.subarray(offset, offset + sizeBytes);
}

/** The address of a buffer's first byte, for a struct that points to it. The caller keeps the buffer alive. */
export function addressOf(buffer: Buffer): bigint {
  return BigInt(ptr(buffer));
}
