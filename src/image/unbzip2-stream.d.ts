declare module "unbzip2-stream" {
  /** A transform of bz2 bytes to raw bytes, in the style of Node's first streams. */
  // biome-ignore lint/style/noDefaultExport: the package is made so
  export default function unbzip2(): NodeJS.ReadWriteStream;
}
