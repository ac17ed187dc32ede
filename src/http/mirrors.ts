/** The servers that hold the same file: which one is asked next, and which are no longer asked. */
import { ReimageError } from "../errors.ts";
import { type Address, parseAddress } from "./address.ts";
import type { Identity } from "./answer.ts";
import type { Trouble } from "./trouble.ts";

export interface Mirror {
  readonly address: Address;
  /** What the file is there; null until it has answered. */
  identity: Identity | null;
  /** The last thing that was wrong with it. */
  trouble: Trouble | null;
}

export interface Mirrors {
  /** What the file is called in messages: its first address. */
  readonly name: string;
  readonly all: readonly Mirror[];
  /** Those that may be asked. */
  usable(): readonly Mirror[];
  /** The one to ask now. @throws ReimageError `image` where none is left, with the reason of each. */
  current(): Mirror;
  /** Keeps in mind what is wrong with a mirror, and turns to the next one. */
  turnFrom(mirror: Mirror, trouble: Trouble): void;
  /** What is wrong with each, in one line. */
  describe(): string;
}

/** @throws ReimageError `config` where an address is not valid. */
export function createMirrors(urls: readonly string[]): Mirrors {
  const all = urls.map((url): Mirror => ({ address: parseAddress(url), identity: null, trouble: null }));
  const name = all[0]?.address.name ?? "no address";
  let index = 0;
  const isUsable = (mirror: Mirror) => mirror.trouble === null || mirror.trouble.kind === "passing";

  function describe(): string {
    const parts = all.flatMap(({ address, trouble }) =>
      trouble === null ? [] : [`${address.name} ${trouble.message}`],
    );
    return parts.join("; ");
  }

  return {
    name,
    all,
    usable: () => all.filter(isUsable),
    current() {
      for (let turn = 0; turn < all.length; turn++) {
        const mirror = all[(index + turn) % all.length];
        if (mirror === undefined || !isUsable(mirror)) continue;
        index = (index + turn) % all.length;
        return mirror;
      }
      const subject = all.length === 1 ? "" : `image ${name} cannot be read from any of its servers: `;
      throw new ReimageError("image", `${subject}${describe()}`, {
        hint: "check image.source, image.mirrors and image.ca, and that the file is there and may be read",
      });
    },
    turnFrom(mirror, trouble) {
      mirror.trouble = trouble;
      // Another reader may have turned away from it already.
      if (all[index % all.length] === mirror) index = (index + 1) % all.length;
    },
    describe,
  };
}
