/** The kernel's command line, as boot loaders can carry it. Pure. */
import { ReimageError } from "../errors.ts";

/** COMMAND_LINE_SIZE of x86 (arch/x86/include/asm/setup.h) with its zero. */
const MAXIMUM_BYTES = 2047;
const PANIC = "panic=30";

/**
 * The command line that a loader is given: `panic=30` is there, because a one shot that panics has to restart the machine.
 * @throws ReimageError `usage` where it holds what one of the loaders would change: quotes, backslashes, dollar signs,
 * control characters, anything but ASCII; or is too long for the kernel.
 */
export function oneShotCommandLine(commandLine: string): string {
  const words = commandLine.split(/[ \t]+/).filter(Boolean);
  const bad = words.find((word) => !/^[!#%&()*+,./0-9:;<=>?@A-Z[\]^_`a-z{|}~-]+$/.test(word));
  if (bad !== undefined) {
    throw new ReimageError(
      "usage",
      `the kernel command line holds ${JSON.stringify(bad)}, which no boot loader hands on as it is`,
      {
        hint: "leave out quotes, backslashes, dollar signs and everything that is not ASCII; put it into reimage.yaml instead",
      },
    );
  }
  const complete = words.some((word) => word.startsWith("panic=")) ? words : [...words, PANIC];
  const text = complete.join(" ");
  if (text.length > MAXIMUM_BYTES) {
    throw new ReimageError(
      "usage",
      `the kernel command line has ${text.length} bytes; the kernel takes ${MAXIMUM_BYTES}`,
      {
        hint: "put the settings into reimage.yaml instead",
      },
    );
  }
  return text;
}
