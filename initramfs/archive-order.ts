/**
 * The order of the archive. The kernel unpacks until its memory is full or the archive makes no sense, and then goes on with
 * what there is: so what says that, and what gives a machine back to its old OS, comes first. Pure.
 */

/** What `/init` needs to find a disk and to write to it (initramfs/give-back), beside modprobe's libraries. */
const firstFiles = ["init", "give-back", "usr/bin/busybox", "usr/bin/sh", "usr/bin/modprobe"];

/** Modules without which a disk is not there are all but these. */
const isModuleForLater = (path: string): boolean => /\/kernel\/(drivers\/net|net|fs)\//.test(path);

export interface TreeEntry {
  /** Relative to the root of the initramfs. */
  readonly path: string;
  readonly isFolder: boolean;
}

/**
 * The list of drivers, by which an archive is judged before it is used; the folders; what is needed first; the rest, sorted:
 * `zz-complete`, which says that all is there, comes last.
 * @param libraries of the programs that are needed first
 */
export function archiveOrder(entries: readonly TreeEntry[], libraries: readonly string[]): string[] {
  const wanted = new Set([...firstFiles, ...libraries]);
  const rank = ({ path, isFolder }: TreeEntry): number => {
    if (path === "drivers") return 0;
    if (isFolder || /^(bin|sbin|lib|lib64|usr\/sbin)$/.test(path)) return 1; // links to folders among them
    const isDriver = path.startsWith("usr/lib/modules/") && !isModuleForLater(path);
    return wanted.has(path) || isDriver ? 2 : 3;
  };
  const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  return entries.toSorted((a, b) => rank(a) - rank(b) || compare(a.path, b.path)).map(({ path }) => path);
}
