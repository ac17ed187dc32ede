/** Lines of /proc/self/mountinfo (proc(5)). Pure. */

/** A mount. */
export interface MountInfo {
  /** `major:minor`; an anonymous `0:n` for btrfs. */
  readonly deviceNumber: string;
  /** What of the file system is mounted: `/` for all of it. */
  readonly root: string;
  readonly mountPoint: string;
  readonly type: string;
  readonly source: string;
  /** Of the mount, such as `ro,relatime`. */
  readonly options: string;
  /** Of the file system itself. */
  readonly superOptions: string;
}

/** Parses /proc/self/mountinfo in its order, octal escapes resolved. Lines it does not understand are left out. */
export function parseMountInfo(text: string): MountInfo[] {
  return text.split("\n").flatMap((line) => {
    const [before, after] = line.split(" - ", 2);
    const [, , deviceNumber, root, mountPoint, options] = before?.split(" ") ?? [];
    const [type, source, superOptions] = after?.split(" ") ?? [];
    if (deviceNumber === undefined || root === undefined || mountPoint === undefined || options === undefined)
      return [];
    if (type === undefined || source === undefined || superOptions === undefined) return [];
    return [
      {
        deviceNumber,
        root: unescapeOctal(root),
        mountPoint: unescapeOctal(mountPoint),
        type,
        source: unescapeOctal(source),
        options,
        superOptions,
      },
    ];
  });
}

/** Resolves `\040` and its like, by which the kernel writes space, tab, newline and backslash. */
export function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
