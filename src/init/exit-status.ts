/** How `reimage init` ends where it does not end the machine. initramfs/init acts on it. */

/**
 * The run is over, and a person has to look at the machine: the bootstrap opens a shell on the main console, or, where
 * `/run/reimage/no-shell` exists, leaves the message standing. Any other status counts as a crash and starts the program again.
 */
export const RESCUE_STATUS = 10;

/**
 * The machine was booted from a lifeboat that is on no disk any more, as far as the program can tell: the bootstrap, which
 * needs less of it to be whole, puts the old boot sector back if it can; else as above.
 */
export const LOST_STATUS = 11;
