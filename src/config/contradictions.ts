/** Keys that are right each, but not together (pure). */
import type { z } from "zod";
import { hideCredentials, parseSource } from "./names.ts";
import type { configSchema } from "./schema.ts";

type Parsed = z.infer<typeof configSchema>;

/** What is wrong, and the key that it is said of. */
interface Contradiction {
  readonly key: string;
  readonly problem: string;
}

/** Everything that the schema, which looks at one key at a time, cannot see. */
export function findContradictions(config: Parsed): Contradiction[] {
  return [...inImage(config), ...inOldOs(config), ...inControl(config)];
}

/** The longest that a machine which the endpoint lets wait shows no sign of life. */
const WAITING_SIGN_SECONDS = 60;

function inControl({ control, watchdog }: Parsed): Contradiction[] {
  if (control === null) return [];
  const found = inControlAlone(control);
  if (control.decides && watchdog.enabled && watchdog.stallSeconds <= WAITING_SIGN_SECONDS) {
    const problem = `watchdog.stallSeconds (${watchdog.stallSeconds}) must be more than ${WAITING_SIGN_SECONDS} with control.decides: the watchdog would reset a machine that the endpoint lets wait`;
    found.push({ key: "watchdog.stallSeconds", problem });
  }
  return found;
}

/** As `findContradictions`, in the section of the control endpoint alone. */
export function inControlAlone(control: NonNullable<Parsed["control"]>): Contradiction[] {
  const found: Contradiction[] = [];
  if (control.token !== null && control.tokenFile !== null) {
    const problem = "control.token and control.tokenFile are both set: which of them counts?";
    found.push({ key: "control.tokenFile", problem });
  }
  if (control.ca !== null && !control.url.startsWith("https://")) {
    found.push({ key: "control.ca", problem: "control.ca is for https, and control.url does not begin with https://" });
  }
  const { username, password, search, hash } = new URL(control.url);
  if (username + password + search + hash !== "") {
    const problem =
      "control.url must not hold a user name, a password, ? or #; the token belongs into control.tokenFile";
    found.push({ key: "control.url", problem });
  }
  return found;
}

function inImage({ image, watchdog }: Parsed): Contradiction[] {
  const found: Contradiction[] = [];
  const urls = [image.source, ...image.mirrors];
  const isUrl = parseSource(image.source)?.kind === "url";
  if (image.mirrors.length > 0 && !isUrl) {
    const problem = "image.mirrors needs an image.source that is an http(s) URL itself, and it is none";
    found.push({ key: "image.mirrors", problem });
  }
  const twice = urls.find((url, i) => urls.indexOf(url) !== i);
  if (twice !== undefined) {
    const problem = `image.mirrors: ${hideCredentials(twice)} is there already; a mirror is another server's copy`;
    found.push({ key: "image.mirrors", problem });
  }
  if (image.ca !== null && !urls.some((url) => url.startsWith("https://"))) {
    const problem = "image.ca is for https, and neither image.source nor a mirror begins with https://";
    found.push({ key: "image.ca", problem });
  }
  if (image.stallSeconds < image.timeoutSeconds) {
    const problem = `image.stallSeconds (${image.stallSeconds}) is less than image.timeoutSeconds (${image.timeoutSeconds}): no server would be asked twice`;
    found.push({ key: "image.stallSeconds", problem });
  }
  if (isUrl && watchdog.enabled && image.stallSeconds >= watchdog.stallSeconds) {
    const problem = `image.stallSeconds (${image.stallSeconds}) must be less than watchdog.stallSeconds (${watchdog.stallSeconds}): the watchdog would reset the machine before the wait for a web server ends`;
    found.push({ key: "image.stallSeconds", problem });
  }
  return found;
}

function inOldOs({ old, target }: Parsed): Contradiction[] {
  if (old.root !== "none") return [];
  const found: Contradiction[] = [];
  if (target.disk.kind === "old-root") {
    const problem = "target.disk is old-root, but old.root is none: name the disk, for example target.disk: serial=…";
    found.push({ key: target.disk.named ? "target.disk" : "old.root", problem });
  }
  if (Object.keys(old.mounts).length > 0) {
    const problem = "old.mounts needs an old.root to be mounted below, but old.root is none";
    found.push({ key: "old.mounts", problem });
  }
  return found;
}
