/** What inotify(7) tells of the files of a directory: pure. */

export const IN_ACCESS = 0x1;
export const IN_CLOSE_NOWRITE = 0x10;
export const IN_OPEN = 0x20;
/** The kernel has dropped events because nobody fetched them in time. */
export const IN_Q_OVERFLOW = 0x4000;
/** The watch is gone: the directory was removed, or its file system unmounted. */
export const IN_IGNORED = 0x8000;
export const IN_ONLYDIR = 0x0100_0000;

/** One event; `name` is empty where it is about the directory itself. */
export interface InotifyEvent {
  readonly mask: number;
  readonly name: string;
}

/** The `struct inotify_event`s that one read(2) has returned: watch, mask, cookie, length of the name, name and NULs. */
export function parseInotifyEvents(bytes: Buffer): InotifyEvent[] {
  const HEADER_BYTES = 16;
  const events: InotifyEvent[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const nameBytes = bytes.readUInt32LE(at + 12);
    const name = bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + nameBytes).toString();
    events.push({ mask: bytes.readUInt32LE(at + 4), name: name.replace(/\0+$/, "") });
    at += HEADER_BYTES + nameBytes;
  }
  return events;
}
