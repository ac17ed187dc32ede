/** `reimage pack`: on the build host, makes of a disk image what machines are reimaged from. Needs no root. */
import { makeKeyPair, readSecretKey } from "../pack/keys.ts";
import { type PackResult, packImage } from "../pack/pack.ts";
import { createConsoleSink } from "../report/console.ts";
import { formatBytes, formatDuration } from "../report/format.ts";
import { createProgress } from "../report/progress.ts";
import { createReporter } from "../report/reporter.ts";
import { type Command, exitStatus } from "./command.ts";
import { parsePackOptions } from "./pack-options.ts";

export const packCommand: Command = {
  name: "pack",
  summary: "on the build host: compress an image, map it, describe it and sign it",
  usage: `reimage pack IMAGE [options]
reimage pack --keygen --secret-key FILE --public-key FILE [--password-file FILE] [--force]

Packs the image of a whole disk: raw, bz2, gz, xz or zst, known by its content. Needs no root. Writes, all or nothing,
  os.img.zst                        the image; zstd -dc gives it back
  os.img.zst.bmap                   its block map, for reimage and bmaptool
  os.img.zst.manifest.json          what reimage has to know of it
  os.img.zst.manifest.json.minisig  the signature of the manifest, with --secret-key

  --output FILE           the packed image (default: IMAGE with the suffix .zst or .bz2)
  --compress zst|bz2|keep how to compress (default zst); keep leaves the image as it is
  --level N               zst: 1 to 22 (default 19); bz2: 1 to 9 (default 9)
  --image-id TEXT         what the image is called (default: its name and the beginning of its sha256)
  --image-version N       counts the releases of an image (default 0); needed for a signature
  --sector-size 512|4096  sectors of the disks that an image with an MBR is for (default 512); a GPT says it itself
  --least-disk SIZE       the smallest disk, such as 8GB (default: what the partitions need)
  --least-ram SIZE        the least memory that a machine must have available (default: no demand)
  --vendor TEXT           machines that the image is for, as in /sys/class/dmi/id/sys_vendor; may be repeated
  --product TEXT          the same for product_name; may be repeated
  --board TEXT            the same for board_name; may be repeated
  --unmapped zero|any     what the disk must hold where the image has nothing (default zero)
  --secret-key FILE       signs the manifest with this minisign key
  --public-key FILE       where --keygen writes the public key
  --password-file FILE    the password of the secret key, in the first line
  --trusted-comment TEXT  what the signature says (default: image id and version)
  --keygen                makes a new pair of keys
  --json                  prints the result as JSON
  --force                 overwrites what is there

Exit status: 0 done, 2 wrong usage, 3 refused, and nothing is written.
`,
  async run(args) {
    const options = parsePackOptions(args);
    if (options.kind === "keygen") {
      const keyId = await makeKeyPair(options.request);
      process.stdout.write(formatKeygen(keyId, options.request.secretKeyPath, options.request.publicKeyPath));
      return exitStatus.done;
    }
    const { request, signing, json } = options;
    const start = performance.now();
    const key = signing === null ? null : await readSecretKey(signing.secretKeyPath, signing.passwordPath);
    const reporter = createReporter([createConsoleSink([progressConsole(json)])], 0);
    let hasProgress = false;
    const result = await packImage({
      ...request,
      signing: key === null ? null : { key, trustedComment: signing?.trustedComment ?? null },
      startProgress: (what, totalBytes) => {
        hasProgress = true;
        return createProgress(reporter, "pack", what, totalBytes);
      },
    }).catch((error: unknown) => {
      // A line of its own ends the bar, which the reason of the failure would be appended to.
      if (hasProgress) reporter.emit({ type: "step", stage: "pack", message: "stopped" });
      throw error;
    });
    const seconds = Math.round(performance.now() - start) / 1000;
    reporter.emit({ type: "stage-finished", stage: "pack", seconds });
    const summary = { ...describeResult(result), seconds };
    process.stdout.write(json ? `${JSON.stringify(summary, null, 2)}\n` : formatSummary(summary));
    return exitStatus.done;
  },
};

/** Progress goes where it is not in the way of the result. */
function progressConsole(json: boolean) {
  const stream = json ? process.stderr : process.stdout;
  return {
    kind: stream.isTTY ? ("terminal" as const) : ("line" as const),
    columns: stream.columns ?? 80,
    write: (text: string) => void stream.write(text),
  };
}

/** The result as data. */
function describeResult({ names, manifest, ...result }: PackResult) {
  const { segments, ...facts } = manifest;
  return {
    packed: names.packed,
    blockMap: names.blockMap,
    manifest: names.manifest,
    signature: result.signedBy === null ? null : names.signature,
    signedBy: result.signedBy,
    imageId: facts.imageId,
    version: facts.version,
    raw: facts.raw,
    compressed: facts.compressed,
    mapped: { sizeBytes: result.mappedBytes, ranges: result.rangeCount, unmapped: facts.blockMap?.unmapped ?? null },
    segments: segments?.length ?? null,
    sectorSizeBytes: facts.sectorSizeBytes,
    leastDiskBytes: facts.leastDiskBytes ?? null,
    leastRamBytes: facts.leastRamBytes ?? null,
    hardware: facts.hardware ?? null,
    tableType: result.tableType,
    partitions: facts.partitionTable ?? [],
  };
}

function formatSummary(summary: ReturnType<typeof describeResult> & { seconds: number }): string {
  const { raw, compressed, mapped, partitions } = summary;
  const percent = ((compressed.sizeBytes / raw.sizeBytes) * 100).toFixed(1);
  const label = ({ label, name, type }: (typeof partitions)[number]) => label ?? name ?? `type ${type}`;
  const lines = [
    `Image      ${summary.imageId}, version ${summary.version}`,
    `Raw        ${formatBytes(raw.sizeBytes)}, sha256 ${raw.sha256}`,
    `Packed     ${summary.packed}, ${formatBytes(compressed.sizeBytes)} (${percent} %), in ${formatDuration(summary.seconds)}`,
    `Block map  ${summary.blockMap}: ${formatBytes(mapped.sizeBytes)} in ${mapped.ranges} ranges; the rest: ${mapped.unmapped}`,
    `Partitions ${summary.tableType}, sectors of ${summary.sectorSizeBytes} bytes: ${partitions.map((p) => `${p.number} ${label(p)}`).join(", ")}`,
    `Needs      a disk of ${summary.leastDiskBytes} bytes`,
    `Manifest   ${summary.manifest}`,
    `Signature  ${summary.signature === null ? "none: machines with a key configured will refuse this image" : `${summary.signature}, key ${summary.signedBy}`}`,
  ];
  return `${lines.join("\n")}\n`;
}

function formatKeygen(keyId: string, secretKeyPath: string, publicKeyPath: string): string {
  return `Key ${keyId}
Secret key ${secretKeyPath}: keep it on the build host, and a copy in a safe place
Public key ${publicKeyPath}: belongs into the initramfs as /etc/reimage/image.pub
`;
}
