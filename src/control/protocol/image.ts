/** An image, as the endpoint knows it: the bytes lie elsewhere. */
import { z } from "zod";

/** What an image is called: the `imageId` of its manifest. */
export const imageIdSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._+:@/-]{0,255}$/, "expected letters, digits and . _ + : @ / - (256 at most)")
  .meta({ id: "ImageId" });

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, "expected a SHA-256 in lower case hex");

export const imageSchema = z
  .strictObject({
    id: imageIdSchema,
    url: z
      .string()
      .max(2048)
      .nullable()
      .default(null)
      .meta({ description: "image.source of a machine that boots from the network" }),
    sha256: sha256Schema
      .nullable()
      .default(null)
      .meta({ description: "of the raw image; a report must name the same" }),
    readback: sha256Schema
      .nullable()
      .default(null)
      .meta({ description: "what report.json says as `readback` after a good write" }),
    description: z.string().max(1024).default(""),
  })
  .meta({ id: "Image" });

export type Image = z.infer<typeof imageSchema>;
