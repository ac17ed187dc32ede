/** How this folder tells how far it is: the caller decides what becomes of it. */

/** Begins something long. `totalBytes` is null where nobody knows it yet. */
export type StartProgress = (what: string, totalBytes: number | null) => { advance(bytes: number): void; done(): void };
