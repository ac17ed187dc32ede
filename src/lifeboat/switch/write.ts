/** Bytes, and where on the disk they go. */
export interface Write {
  readonly offsetBytes: number;
  readonly data: Buffer;
}
