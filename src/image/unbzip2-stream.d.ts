declare module "unbzip2-stream/lib/bit_iterator.js" {
  /** Reads that many bits; null skips to the next whole byte. */
  interface BitReader {
    (bits: number | null): number;
    /** Including the byte that has been read in part. */
    bytesRead: number;
  }
  // biome-ignore lint/style/noDefaultExport: the package is made so
  export default function bitIterator(nextBuffer: () => Uint8Array): BitReader;
}

declare module "unbzip2-stream/lib/bzip2.js" {
  import type { BitReader } from "unbzip2-stream/lib/bit_iterator.js";

  const bzip2: {
    /** Reads the header of a stream and returns its level, 1 to 9. */
    header(bits: BitReader): number;
    /**
     * Decodes a block into `put`. `table` has 100,000 numbers for each level.
     * @returns the CRC of the stream so far; null where it was the end of the stream, whose CRC was right then.
     */
    decompress(
      bits: BitReader,
      put: (byte: number) => void,
      table: Int32Array,
      tableLength: number,
      streamCrc: number,
    ): number | null;
  };
  // biome-ignore lint/style/noDefaultExport: the package is made so
  export default bzip2;
}
