/** File systems that hold no files: the kernel's interfaces. Nothing in them can be retained. */

/** Magic numbers as statfs(2) reports them (linux/magic.h). */
const kernelFileSystems: ReadonlyMap<number, string> = new Map([
  [0x9fa0, "proc"],
  [0x62656572, "sysfs"],
  [0x1cd1, "devpts"],
  [0x27e0eb, "cgroup"],
  [0x63677270, "cgroup2"],
  [0x64626720, "debugfs"],
  [0x74726163, "tracefs"],
  [0x73636673, "securityfs"],
  [0xcafe4a11, "bpf"],
  [0x6165676c, "pstore"],
  [0x19800202, "mqueue"],
  [0x62656570, "configfs"],
  [0x958458f6, "hugetlbfs"],
  [0x0187, "autofs"],
  [0x42494e4d, "binfmt_misc"],
  [0x65735543, "fusectl"],
  [0x67596969, "rpc_pipefs"],
  [0x6e736673, "nsfs"],
  [0xf97cff8c, "selinuxfs"],
  [0xde5e81e4, "efivarfs"],
]);

/** The name of the kernel file system with this magic number, or null where it holds files. */
export function kernelFileSystemName(magic: number): string | null {
  return kernelFileSystems.get(magic >>> 0) ?? null;
}
