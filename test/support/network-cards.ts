/** Network cards of a virtual machine, as arguments of QEMU. */

export interface NetworkCard {
  readonly model: "virtio-net-pci" | "e1000" | "e1000e";
  readonly mac: string;
  /**
   * `user`: QEMU's own network, with a DHCP server; 10.0.2.2 is the machine that the test runs on. `silent`: a network in
   * which nobody answers. `joined`: one with all other cards that are `joined`, which carries frames as they are.
   */
  readonly network: "user" | "silent" | "joined";
  /** A file (pcap) that gets every frame of this card. */
  readonly capture?: string;
}

const joinedHub = 99;

/** The address at which the guest reaches servers that listen on 127.0.0.1 of the machine that the test runs on. */
export const hostSeenFromGuest = "10.0.2.2";

/** The QMP name of a card, for `set_link`. */
export const cardName = (index: number): string => `card${index}`;

/** In the order in which the machine will see them. */
export function networkArguments(cards: readonly NetworkCard[]): string[] {
  return cards.flatMap(({ model, mac, network, capture }, i) => [
    "-netdev",
    network === "user" ? `user,id=net${i}` : `hubport,id=net${i},hubid=${network === "joined" ? joinedHub : i}`,
    "-device",
    `${model},netdev=net${i},id=${cardName(i)},mac=${mac},romfile=`,
    ...(capture === undefined ? [] : ["-object", `filter-dump,id=capture${i},netdev=net${i},file=${capture}`]),
  ]);
}
